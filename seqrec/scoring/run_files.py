"""Names of the files in the folder of a run, which training writes and everything after it reads."""

CONFIG = "config.yaml"  # Settings of the model and of its training.
WEIGHTS = "weights.npz"  # Best weights, one array per variable.
