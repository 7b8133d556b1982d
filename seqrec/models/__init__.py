"""Models of two families, ranking and retrieval, which score candidates after a history; with their weights on disk.

It may import `core` and `events`; `scoring`, `training` and what stands above them may import it.
"""
