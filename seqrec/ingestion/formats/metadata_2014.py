"""Item metadata of 2014: one Python literal per line. An item has several category paths; as in the reference
implementation, the first one counts."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import LINE
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.formats.fields.item_columns import with_item_columns
from seqrec.ingestion.formats.fields.json_records import with_json_record
from seqrec.ingestion.formats.fields.literals import json_of_literal
from seqrec.ingestion.formats.fields.record_fields import decoded
from seqrec.ingestion.formats.line_format import LineFormat, RawLine
from seqrec.ingestion.formats.metadata_2018 import FIELDS


class Metadata2014(LineFormat):
    holds = "2014 metadata (Python literals)"
    is_metadata = True

    def looks_like(self, line: RawLine) -> bool:
        return "asin" in line.keys

    def parse(self, lines: DataFrame, dialect: Any, config: IngestionConfig) -> DataFrame:
        record = F.col("record")
        bounded = F.when(F.octet_length(LINE) <= config.max_line_bytes, F.col(LINE))
        return (
            lines.withColumn("json", json_of_literal(bounded))
            .transform(with_json_record, FIELDS, config.max_line_bytes, "json")
            .transform(
                with_item_columns,
                item=record["asin"],
                path=F.transform(record["category"], decoded),
                brand=record["brand"],
                group=F.lit(None).cast("string"),
                also_buy=record["also_buy"],
                also_view=record["also_view"],
                text="json",
            )
        )
