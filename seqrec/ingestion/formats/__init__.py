"""Raw formats, one file each: how a line is recognised and how it becomes a row. `registry.py` lists them all.
Only `ingest.py` and `stage.py` import it."""
