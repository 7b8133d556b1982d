"""Item indices, and the tables of vocabulary and sequences, written as files of equal size."""
