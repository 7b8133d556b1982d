"""Features of items: values of the metadata become rows of one table of vectors, by statistics of training events."""
