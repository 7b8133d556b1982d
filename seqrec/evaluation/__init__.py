"""How good a run is: rankings of the held-out events, metrics with intervals, a report.

Only tuning, the pipeline and jobs may import it.
"""
