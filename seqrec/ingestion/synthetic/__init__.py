"""Reviews and items made up by Spark in the file formats of the 2018 dump, with a structure that models can learn.
Only `stage.py` imports it."""
