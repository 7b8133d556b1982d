"""Public files fetched over connections that break; where they lie is in `public_files.yaml`.
Only `stage.py` imports it."""
