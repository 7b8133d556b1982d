"""Item metadata of 2018: one JSON object per line."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.formats.fields.categories import decoded_path
from seqrec.ingestion.formats.fields.editions import item_of_2018
from seqrec.ingestion.formats.fields.item_columns import with_item_columns
from seqrec.ingestion.formats.fields.literals import Record
from seqrec.ingestion.formats.line_format import RawLine
from seqrec.ingestion.formats.record_format import RecordFormat

FIELDS = (
    "asin:string, category:array<string>, title:string, brand:string, price:string, main_cat:string, "
    "also_buy:array<string>, also_view:array<string>, feature:array<string>"
)

_ONLY_2018 = ("category", "also_buy", "also_view", "main_cat", "feature")  # Fields that 2014 did not have.


class Metadata2018(RecordFormat):
    holds = "2018 metadata (JSON or Python literals)"
    is_metadata = True

    @staticmethod
    def fields(record: Record) -> tuple[dict[str, Any], bool]:
        return item_of_2018(record)

    def looks_like(self, line: RawLine) -> bool:
        keys = line.keys
        if "asin" not in keys or "related" in keys or "categories" in keys:
            return False
        # A literal with no field of either edition, such as a title alone, is taken for one of 2014: all were literals.
        return not line.is_literal or any(name in keys for name in _ONLY_2018)

    def parse(self, lines: DataFrame, dialect: Any, config: IngestionConfig) -> DataFrame:
        record = F.col("record")
        return self.with_record(lines, FIELDS, dialect, config).transform(
            with_item_columns,
            item=record["asin"],
            path=decoded_path(record["category"], record["feature"]),
            brand=record["brand"],
            group=record["main_cat"],
            also_buy=record["also_buy"],
            also_view=record["also_view"],
            text=self.text_of(dialect),
        )
