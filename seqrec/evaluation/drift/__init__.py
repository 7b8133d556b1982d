"""The `drift` stage: how far new events differ from those that a run was trained on, with a page and an exit status."""
