"""Which items are found beside which, with weights: counted from events and metadata, stored as arrays, and looked up.

Scoring, evaluation and recommendation may import it; it knows events, not models.
"""
