"""From predictions to numbers: exact sums over rows, means, bootstrap intervals, slices, tests and corrections.

All of the package may import it; it knows nothing of rankers.
"""
