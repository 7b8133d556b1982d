"""Sums, means, intervals and slices of metrics, exact under any spread of the work.

Rankings, results and tuning import it; it imports nothing else of the package.
"""
