"""Errors that a user can act on: one line says what is wrong, with the value and the place, and what to do.

Jobs print this line and end with exit status 1. Any other exception is a bug and keeps its traceback.
"""

import difflib
from collections.abc import Callable, Iterable


class SeqrecError(ValueError):
    """Root of all errors that come from input, settings or the machine, and not from a bug."""


class ConfigError(SeqrecError):
    """A setting is unknown, has the wrong type, or is impossible."""


class DataError(SeqrecError):
    """Input, or a file that a stage wrote, is not what it should be."""


class SmallDataError(DataError):
    """Data is too small for the settings. It knows how much there is, so that later stages' refusals can be foretold.

    Args:
        num_items: items that can be ranked.
        num_negatives: negatives that each target can have.
        train_files: training targets of each file that there would be.
    """

    def __init__(self, text: str, num_items: int, num_negatives: int, train_files: tuple[int, ...] = ()):
        super().__init__(text)
        self.num_items, self.num_negatives, self.train_files = num_items, num_negatives, train_files


class StorageError(SeqrecError):
    """A place cannot be read or written: it is missing, or permission or space is."""


class TrainingError(SeqrecError):
    """Training cannot start or continue."""


def check_all(*checks: Callable[[], object]) -> None:
    """Makes all checks; what they refuse is reported together, not one thing after each attempt.

    Raises:
        SeqrecError: of the class of the first refusal, with the messages of all.
    """
    errors = []
    for check in checks:
        try:
            check()
        except SeqrecError as error:
            errors.append(error)
    if errors[1:]:
        raise type(errors[0])(" ".join(str(error) for error in errors))
    if errors:
        raise errors[0]


def first_line(error: BaseException | str) -> str:
    """The first line of an error's text; the name of its class if it has no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def reason_of(error: BaseException | str) -> str:
    """The first line of an error's text without its full stop, to stand inside another sentence."""
    return first_line(error).rstrip(".")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that a misspelt one most likely stands for; None if none is similar.

    Args:
        cutoff: the least similarity, from 0 (any name will do) to 1 (equal).
    """
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A question that follows an error message, with a leading space: " Did you mean 'gru'?"; empty if none is near."""
    close = nearest(name, known, cutoff)
    return "" if close is None else f" Did you mean '{close}'?"
