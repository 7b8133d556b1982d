"""Negatives for the targets of validation and test. Needs no Spark; `filters` uses its search too."""
