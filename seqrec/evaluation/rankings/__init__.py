"""What orders the candidates of a row: the simple rankings, a run, and where the target then stands.

The stage and tuning import it; it uses the statistics and knows nothing of the report.
"""
