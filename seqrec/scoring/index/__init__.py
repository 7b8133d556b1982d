"""Item vectors of a retrieval run in files that all workers map, and the search for the best items of many states."""
