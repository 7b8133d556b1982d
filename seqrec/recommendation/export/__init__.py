"""A run as a SavedModel with its card, also for MLflow.

It imports nothing of the lists or candidates.
"""
