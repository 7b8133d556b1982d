"""Item metadata of 2018: one JSON object per line."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.formats.fields.categories import decoded_path
from seqrec.ingestion.formats.fields.item_columns import with_item_columns
from seqrec.ingestion.formats.fields.json_records import with_json_record
from seqrec.ingestion.formats.line_format import LineFormat, RawLine

FIELDS = (
    "asin:string, category:array<string>, title:string, brand:string, price:string, main_cat:string, "
    "also_buy:array<string>, also_view:array<string>, feature:array<string>"
)


class Metadata2018(LineFormat):
    holds = "2018 metadata (JSON)"
    is_metadata = True

    def looks_like(self, line: RawLine) -> bool:
        is_of_2014 = "related" in line.keys or "categories" in line.keys
        return not line.is_literal and "asin" in line.keys and not is_of_2014

    def parse(self, lines: DataFrame, dialect: Any, config: IngestionConfig) -> DataFrame:
        record = F.col("record")
        return lines.transform(with_json_record, FIELDS, config.max_line_bytes).transform(
            with_item_columns,
            item=record["asin"],
            path=decoded_path(record["category"], record["feature"]),
            brand=record["brand"],
            group=record["main_cat"],
            also_buy=record["also_buy"],
            also_view=record["also_view"],
        )
