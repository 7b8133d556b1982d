"""Raw files of reviews and item metadata become the tables `reviews`, `items` and `rejects`; files are also fetched or
made up here. Jobs and the pipeline call `stage.py`; of the packages only `core` and `tables` may be imported."""
