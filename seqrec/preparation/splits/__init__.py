"""The events that train and those that are targets of validation and test, and the rows that are cut from them."""
