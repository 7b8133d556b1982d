"""Item metadata of 2023: one JSON object per line, without lists of other items."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.formats.fields.categories import decoded_path
from seqrec.ingestion.formats.fields.item_columns import with_item_columns
from seqrec.ingestion.formats.fields.json_records import with_json_record
from seqrec.ingestion.formats.line_format import LineFormat, RawLine

_FIELDS = (
    "parent_asin:string, categories:array<string>, title:string, store:string, price:string, main_category:string, "
    "features:array<string>"
)


class Metadata2023(LineFormat):
    holds = "2023 metadata (JSON)"
    is_metadata = True

    def looks_like(self, line: RawLine) -> bool:
        return not line.is_literal and "parent_asin" in line.keys

    def parse(self, lines: DataFrame, dialect: Any, config: IngestionConfig) -> DataFrame:
        record = F.col("record")
        no_items = F.lit(None).cast("array<string>")
        return lines.transform(with_json_record, _FIELDS, config.max_line_bytes).transform(
            with_item_columns,
            item=record["parent_asin"],
            path=decoded_path(record["categories"], record["features"]),
            brand=record["store"],
            group=record["main_category"],
            also_buy=no_items,
            also_view=no_items,
        )
