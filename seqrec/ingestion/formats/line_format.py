"""What every raw format offers. A new format is one file with a `LineFormat` and one line in `registry.py`."""

import ast
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pyspark.sql import DataFrame

from seqrec.ingestion.compiled.clean_line import CleanLine
from seqrec.ingestion.config import IngestionConfig


@dataclass(frozen=True)
class RawLine:
    """One line of a raw file, and the record that it holds, if it holds one. Nothing is ever evaluated."""

    text: str
    record: Mapping[str, Any] | None  # The JSON object or the Python dictionary that the line is.
    is_literal: bool = False  # The line is a Python literal and not JSON.

    @classmethod
    def of(cls, text: str) -> "RawLine":
        text = text.strip()
        if not text.startswith("{"):
            return cls(text, None)
        try:
            return cls(text, json.loads(text))
        except RecursionError:
            return cls(text, None)
        except ValueError:
            pass
        try:
            record = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return cls(text, None)
        return cls(text, record, is_literal=True) if isinstance(record, dict) else cls(text, None)

    @property
    def keys(self) -> Collection[str]:
        """Names of the record's fields; none if the line holds no record."""
        return () if self.record is None else self.record.keys()


class LineFormat(ABC):
    """One kind of raw line: how it is recognised, and how it becomes rows.

    Formats are stateless. The registry makes one object of each.
    """

    holds: ClassVar[str]  # What the lines are, in words, for messages: "2023 reviews (JSON)".
    is_metadata: ClassVar[bool] = False  # The lines describe items; otherwise they are reviews.

    @abstractmethod
    def looks_like(self, line: RawLine) -> bool:
        """Whether a line is of this format, judged by its form alone: its values may still be wrong."""

    @abstractmethod
    def parse(self, lines: DataFrame, dialect: Any, config: IngestionConfig) -> DataFrame:
        """One row per line: the columns of `reviews` or `items` without `group`, `state`, and everything that came in.

        Items have a column `group` of their own, null where the line names none.

        Args:
            lines: with the columns of `read_lines`.
            dialect: what `dialect_of` has found out about the file.
        """

    def dialect_of(self, lines: Sequence[RawLine], place: str, config: IngestionConfig) -> Any:
        """What `parse` has to know about a file, such as the order of its columns: a hashable value.

        Files of equal dialects are parsed together.

        Args:
            lines: those from the start of the file that look like this format; empty if the file has no line at all.
            place: the file, for error messages.

        Raises:
            DataError: the lines do not say.
        """
        return None

    def clean_line(self, dialect: Any, config: IngestionConfig) -> CleanLine | None:
        """What a plainly clean line is, for the compiled reader; None: `parse` reads all lines.

        Such a line must have the same values and the same state by `parse`, and by `parse` of `second_dialect`.
        """
        return None

    def second_dialect(self, dialect: Any) -> Any:
        """The dialect in which rejected lines are looked at a second time; None if nothing is to be gained."""
        return None
