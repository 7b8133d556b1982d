"""Which events train, and which are targets of validation and test; and the rows that are cut from them."""
