"""Batches for training and validation, read by Petastorm or pyarrow from the prepared files in an order that does not
depend on the number of workers. `training` imports it; it imports `core` and `events`.
"""
