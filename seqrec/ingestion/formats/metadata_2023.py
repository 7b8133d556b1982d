"""Item metadata of 2023: one JSON object per line, without lists of other items."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.formats.fields.categories import decoded_path
from seqrec.ingestion.formats.fields.editions import item_of_2023
from seqrec.ingestion.formats.fields.item_columns import with_item_columns
from seqrec.ingestion.formats.fields.literals import Record
from seqrec.ingestion.formats.line_format import RawLine
from seqrec.ingestion.formats.record_format import RecordFormat

_FIELDS = (
    "parent_asin:string, categories:array<string>, title:string, store:string, price:string, main_category:string, "
    "features:array<string>"
)


class Metadata2023(RecordFormat):
    holds = "2023 metadata (JSON or Python literals)"
    is_metadata = True

    @staticmethod
    def fields(record: Record) -> tuple[dict[str, Any], bool]:
        return item_of_2023(record)

    def looks_like(self, line: RawLine) -> bool:
        return "parent_asin" in line.keys

    def parse(self, lines: DataFrame, dialect: Any, config: IngestionConfig) -> DataFrame:
        record = F.col("record")
        no_items = F.lit(None).cast("array<string>")
        return self.with_record(lines, _FIELDS, dialect, config).transform(
            with_item_columns,
            item=record["parent_asin"],
            path=decoded_path(record["categories"], record["features"]),
            brand=record["store"],
            group=record["main_category"],
            also_buy=no_items,
            also_view=no_items,
            text=self.text_of(dialect),
        )
