"""The stage that fits and measures a learned last stage, and the ranker that lists are ordered by.

The lists import it; it imports the candidates.
"""
