"""Ingested datasets for the tests of this stage, made from tuples or from raw lines without the ingest job."""

import ast
import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from seqrec.core.manifest import Dataset, Manifest, Recipe
from seqrec.core.storage import Storage
from seqrec.tables.files import write_table
from seqrec.tables.schemas import ITEMS, REVIEWS

DAY = 86_400

Review = tuple[str, str, int]  # User, item, timestamp.


def publish_ingested(
    spark: SparkSession,
    storage: Storage,
    reviews: Iterable[dict[str, Any]],
    categories: dict[str, str | None] | None = None,
    name: str = "small",
    num_partitions: int = 2,
) -> Manifest:
    """`ingested/<name>` with these reviews; a missing column is null, a missing line hash that of the review."""
    rows = [{field.name: review.get(field.name) for field in REVIEWS} for review in reviews]
    nullable = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in REVIEWS)
    table = spark.createDataFrame([tuple(row.values()) for row in rows], nullable).repartition(num_partitions)
    line_hash = F.coalesce("line_hash", F.xxhash64("user_id", "item_id", "rating", "timestamp"))
    table = table.withColumn("line_hash", line_hash)
    catalogue = [(item, category) for item, category in (categories or {}).items()]
    items = spark.createDataFrame(catalogue, "item_id string, category string")
    others = [F.lit(None).cast(field.dataType).alias(field.name) for field in ITEMS.fields[2:]]
    attempt = Dataset(storage, "ingested", name).begin(Recipe(stage="ingest", settings={}, inputs={"test": name}))
    tables = {
        "reviews": write_table(table, attempt, "reviews"),
        "items": write_table(items.select("item_id", "category", *others), attempt, "items"),
    }
    return attempt.publish(tables=tables, counts={})


def reviews_of(*reviews: Review) -> list[dict[str, Any]]:
    return [{"user_id": user, "item_id": item, "timestamp": time} for user, item, time in reviews]


def read_raw_reviews(path: Path) -> list[dict[str, Any]]:
    """Reviews of a 2014 or 2018 file; the line hash is Python's, which is as good for telling equal lines."""
    opener = gzip.open if path.suffix == ".gz" else open
    reviews = []
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            raw = json.loads(line)
            reviews.append(
                {
                    "user_id": raw["reviewerID"],
                    "item_id": raw["asin"],
                    "timestamp": raw["unixReviewTime"],
                    "rating": float(raw["overall"]) if "overall" in raw else None,
                    "line_hash": hash(line),
                }
            )
    return reviews


def read_raw_categories(path: Path) -> dict[str, str | None]:
    """Category of each item of a 2014 metadata file as the reference takes it: the last of the first path."""
    categories: dict[str, str | None] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        raw = ast.literal_eval(line)
        categories.setdefault(raw["asin"], raw["categories"][0][-1])
    return categories


def read_rows(storage: Storage, manifest: Manifest, name: str) -> list[dict[str, Any]]:
    """The rows of a published table, read without Spark."""
    tables = [pq.read_table(storage.local(file.path)) for file in manifest.table(name).files]
    return pa.concat_tables(tables).to_pylist() if tables else []
