"""Reviews of 2014 and 2018: one JSON object per line."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import ITEM, RATING, TIMESTAMP, USER, VERIFIED, VOTES
from seqrec.ingestion.compiled.clean_line import HELPFUL, CleanLine
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.formats.fields.editions import review_of_2018
from seqrec.ingestion.formats.fields.literals import Record
from seqrec.ingestion.formats.fields.record_fields import parsed_votes
from seqrec.ingestion.formats.fields.review_columns import clean_json, with_json_state
from seqrec.ingestion.formats.line_format import RawLine
from seqrec.ingestion.formats.record_format import RecordFormat

# Votes are read as text, whatever they are: an odd one makes no review worthless.
_FIELDS = (
    "reviewerID:string, asin:string, overall:double, unixReviewTime:bigint, verified:boolean, "
    "vote:string, helpful:string"
)


class Reviews2018(RecordFormat):
    holds = "2014 or 2018 reviews (JSON or Python literals)"

    @staticmethod
    def fields(record: Record) -> tuple[dict[str, Any], bool]:
        return review_of_2018(record)

    def clean_line(self, dialect: Any, config: IngestionConfig) -> CleanLine:
        of_2023 = ("user_id", "parent_asin", "rating", "timestamp", "verified_purchase", "helpful_vote")
        used = {"reviewerID": USER, "asin": ITEM, "overall": RATING, "unixReviewTime": TIMESTAMP, "verified": VERIFIED}
        return clean_json(config, 1, *of_2023, **used, vote=VOTES, helpful=HELPFUL)

    def looks_like(self, line: RawLine) -> bool:
        return "reviewerID" in line.keys or "unixReviewTime" in line.keys

    def parse(self, lines: DataFrame, dialect: Any, config: IngestionConfig) -> DataFrame:
        return (
            self.with_record(lines, _FIELDS, dialect, config)
            .withColumns(
                {
                    USER: F.col("record.reviewerID"),
                    ITEM: F.col("record.asin"),
                    RATING: F.col("record.overall"),
                    TIMESTAMP: F.col("record.unixReviewTime"),
                    VERIFIED: F.col("record.verified"),
                    VOTES: parsed_votes(F.coalesce("record.vote", "record.helpful")),
                }
            )
            .transform(with_json_state, config, self.text_of(dialect))
            .transform(self.with_conversions, dialect)
        )
