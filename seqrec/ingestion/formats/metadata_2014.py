"""Item metadata of 2014: one Python literal per line. An item has several category paths; as in the reference
implementation, the first one counts."""

from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.formats.fields.editions import item_of_2018
from seqrec.ingestion.formats.fields.item_columns import with_item_columns
from seqrec.ingestion.formats.fields.literals import Record
from seqrec.ingestion.formats.fields.record_fields import decoded
from seqrec.ingestion.formats.line_format import RawLine
from seqrec.ingestion.formats.metadata_2018 import FIELDS
from seqrec.ingestion.formats.record_format import RecordFormat


class Metadata2014(RecordFormat):
    holds = "2014 metadata (Python literals or JSON)"
    is_metadata = True

    @staticmethod
    def fields(record: Record) -> tuple[dict[str, Any], bool]:
        return item_of_2018(record)

    def looks_like(self, line: RawLine) -> bool:
        return "asin" in line.keys

    def dialect_of(self, lines: Sequence[RawLine], place: str, config: IngestionConfig) -> bool:
        return True  # The fields lie one in the other, as Spark's parser does not take them.

    def parse(self, lines: DataFrame, dialect: Any, config: IngestionConfig) -> DataFrame:
        record = F.col("record")
        return self.with_record(lines, FIELDS, dialect, config).transform(
            with_item_columns,
            item=record["asin"],
            path=F.transform(record["category"], decoded),
            brand=record["brand"],
            group=record["main_cat"],
            also_buy=record["also_buy"],
            also_view=record["also_view"],
            text=self.text_of(dialect),
        )
