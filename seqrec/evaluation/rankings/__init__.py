"""Rankers: trained runs and baselines that score the candidates of each row, and the predictions made from the scores.

The stage and tuning may import it; it may import `statistics`.
"""
