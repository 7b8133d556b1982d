"""Formats with one record a line: a JSON object, or a dictionary as Python prints it."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import LINE
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.formats.fields.json_records import with_json_record
from seqrec.ingestion.formats.fields.literals import Record, second_look
from seqrec.ingestion.formats.line_format import LineFormat, RawLine
from seqrec.ingestion.line_counts import CONVERTED, GOOD, STATE

_JSON = "json"  # Column: the line as JSON in the names of the format.
_LOOK = "look"


class RecordFormat(LineFormat):
    """The dialect is whether lines get a second look by Python, which costs ten times what Spark's parser does.

    Files get it whose first lines need it, and files with rejects that it can save.
    """

    @staticmethod
    @abstractmethod
    def fields(record: Record) -> tuple[dict[str, Any], bool]:
        """The fields that the format reads, from a record of any edition, and whether values were converted."""

    def dialect_of(self, lines: Sequence[RawLine], place: str, config: IngestionConfig) -> bool:
        return any(line.is_literal or (line.record is not None and self.fields(line.record)[1]) for line in lines)

    def second_dialect(self, dialect: Any) -> bool | None:
        return None if dialect else True

    def with_record(self, lines: DataFrame, fields: str, dialect: bool, config: IngestionConfig) -> DataFrame:
        """`with_json_record`, after a second look where the dialect says so."""
        if not dialect:
            return lines.transform(with_json_record, fields, config.max_line_bytes)
        bounded = F.when(F.octet_length(LINE) <= config.max_line_bytes, F.col(LINE))
        return (
            lines.withColumn(_LOOK, second_look(bounded, self.fields))
            .withColumn(_JSON, F.coalesce(f"{_LOOK}.text", LINE))  # What is no record is refused for what it is.
            .transform(with_json_record, fields, config.max_line_bytes, _JSON)
        )

    def text_of(self, dialect: bool) -> str:
        """The column that holds the line as JSON."""
        return _JSON if dialect else LINE

    def with_conversions(self, parsed: DataFrame, dialect: bool) -> DataFrame:
        """Good lines with converted values get a state of their own."""
        if not dialect:
            return parsed
        is_converted = (F.col(STATE) == GOOD) & F.col(f"{_LOOK}.is_converted")
        return parsed.withColumn(STATE, F.when(is_converted, CONVERTED).otherwise(F.col(STATE)))
