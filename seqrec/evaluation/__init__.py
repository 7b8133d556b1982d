"""Measures runs and baselines on a held-out split, with intervals, slices and tests; writes results and a report.

Tuning and the pipeline may import it. Inside, `statistics` stands below `rankings`, and `report` reads results alone.
"""
