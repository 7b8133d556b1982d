"""Rules that several raw formats share: records of JSON, ids, numbers, texts, category paths, and the state of a line.
Only the formats and `ingest.py` import it."""
