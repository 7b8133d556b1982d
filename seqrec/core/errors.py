"""Errors that a user can act on: one line saying what is wrong, with the value, where, and what to do.

Jobs print the line and end with exit status 1; anything else is a fault of ours and keeps its traceback.
"""


class SeqrecError(ValueError):
    """Root of all errors caused by input, settings or the machine rather than by a fault in the code."""


class ConfigError(SeqrecError):
    """A setting is unknown, mistyped or impossible."""


class DataError(SeqrecError):
    """Input, or something on disk, is not what it should be."""


class StorageError(SeqrecError):
    """A place cannot be read or written: missing, no permission, no space."""


class TrainingError(SeqrecError):
    """Training cannot start or go on."""
