"""The learned last stage: a row of features for every pair of a user and a candidate, and what is fitted to these rows.

NumPy over blocks of users; it knows candidates and runs' logits, not how either is made or where it is stored.
"""
