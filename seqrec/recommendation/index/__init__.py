"""The stage that writes the item vectors of a retrieval run as an index, and measures it."""
