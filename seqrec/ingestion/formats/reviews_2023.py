"""Reviews of 2023: one JSON object per line. An item is its parent, which is what the metadata describes."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import ITEM, RATING, TIMESTAMP, USER, VERIFIED, VOTES
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.formats.fields.json_records import with_json_record
from seqrec.ingestion.formats.fields.record_fields import parsed_votes
from seqrec.ingestion.formats.fields.review_columns import with_json_state
from seqrec.ingestion.formats.line_format import LineFormat, RawLine

_FIELDS = (
    "user_id:string, parent_asin:string, asin:string, rating:double, timestamp:bigint, verified_purchase:boolean, "
    "helpful_vote:string"
)
_MILLISECONDS = 1000  # In a second: the unit of the times.


class Reviews2023(LineFormat):
    holds = "2023 reviews (JSON)"

    def looks_like(self, line: RawLine) -> bool:
        return not line.is_literal and "user_id" in line.keys

    def parse(self, lines: DataFrame, dialect: Any, config: IngestionConfig) -> DataFrame:
        return (
            lines.transform(with_json_record, _FIELDS, config.max_line_bytes)
            .withColumns(
                {
                    USER: F.col("record.user_id"),
                    ITEM: F.coalesce("record.parent_asin", "record.asin"),
                    RATING: F.col("record.rating"),
                    TIMESTAMP: F.floor(F.col("record.timestamp") / _MILLISECONDS),
                    VERIFIED: F.col("record.verified_purchase"),
                    VOTES: parsed_votes(F.col("record.helpful_vote")),
                }
            )
            .transform(with_json_state, config)
        )
