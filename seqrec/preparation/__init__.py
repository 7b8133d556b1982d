"""The `prepare` stage: from ingested reviews and items to the vocabulary and the sequences of a dataset, on Spark.
`pipeline` runs it; it imports `core`, `tables` and `events`.
"""
