"""The page report.html about a run's evaluations, and its charts. Only the stage imports it."""
