"""Reviews of 2023: one JSON object per line. An item is its parent, which is what the metadata describes."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import ITEM, RATING, TIMESTAMP, USER, VERIFIED, VOTES
from seqrec.ingestion.compiled.clean_line import SECOND_ITEM, CleanLine
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.formats.fields.editions import review_of_2023
from seqrec.ingestion.formats.fields.literals import Record
from seqrec.ingestion.formats.fields.record_fields import parsed_votes
from seqrec.ingestion.formats.fields.review_columns import clean_json, with_json_state
from seqrec.ingestion.formats.line_format import RawLine
from seqrec.ingestion.formats.record_format import RecordFormat

_FIELDS = (
    "user_id:string, parent_asin:string, asin:string, rating:double, timestamp:bigint, verified_purchase:boolean, "
    "helpful_vote:string"
)
_MILLISECONDS = 1000  # In a second: the unit of the times.


class Reviews2023(RecordFormat):
    holds = "2023 reviews (JSON or Python literals)"

    @staticmethod
    def fields(record: Record) -> tuple[dict[str, Any], bool]:
        return review_of_2023(record)

    def clean_line(self, dialect: Any, config: IngestionConfig) -> CleanLine:
        of_2018 = ("reviewerID", "overall", "unixReviewTime", "verified", "vote", "helpful")
        used = {"user_id": USER, "parent_asin": ITEM, "asin": SECOND_ITEM, "rating": RATING, "timestamp": TIMESTAMP}
        return clean_json(config, _MILLISECONDS, *of_2018, **used, verified_purchase=VERIFIED, helpful_vote=VOTES)

    def looks_like(self, line: RawLine) -> bool:
        return "user_id" in line.keys

    def parse(self, lines: DataFrame, dialect: Any, config: IngestionConfig) -> DataFrame:
        return (
            self.with_record(lines, _FIELDS, dialect, config)
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
            .transform(with_json_state, config, self.text_of(dialect))
            .transform(self.with_conversions, dialect)
        )
