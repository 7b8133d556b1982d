"""The `train` stage: workers that minimise an objective, with checkpoints, validation and reports.

Tuning and the pipeline may import it. Its chambers `objectives`, `reporting` and `workers` are parts that import no
module which assembles them, and `workers` may import `reporting`.
"""
