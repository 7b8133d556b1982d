"""What the lists written are worth: spread over the catalogue, accuracy, what each rule costs; and tables of it."""

import logging
from typing import Any

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import FloatType, IntegerType, StringType, StructField, StructType

from seqrec.core import columns as C
from seqrec.core.console import print_table
from seqrec.core.manifest import Attempt, Manifest
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.write_lists import LISTS
from seqrec.recommendation.rules.figures import (
    ALL_LISTS,
    SEGMENTS,
    figures_of,
    figures_table,
    list_metrics,
    log_rules,
    spread,
)
from seqrec.tables.files import read_written

_LOG = logging.getLogger(__name__)
SCHEMA = StructType(
    [
        StructField(C.USER, StringType(), nullable=False),
        StructField(C.RANK, IntegerType(), nullable=False),
        StructField(C.ITEM, StringType(), nullable=False),
        StructField(C.SCORE, FloatType(), nullable=False),
        StructField(C.SOURCE, StringType(), nullable=False),
        StructField(C.TITLE, StringType()),
    ]
)


def figures_of_lists(
    spark: SparkSession,
    attempt: Attempt,
    num_items: int,
    config: RecommendationConfig,
    counted: dict[str, Any],
) -> dict[str, Any]:
    """Takes the sums of figures out of `counted`; returns what the lists written are worth: all, by rules and by users.

    Args:
        num_items: items of the catalogue.
        counted: sums of `count_figures`, among other counts.
    """
    sums = {name: counted.pop(name) for name in [*counted] if "/" in name}
    figures = figures_of(sums)
    segments = {label: figures.pop(label) for _, label in SEGMENTS if label in figures}
    lists = figures.pop(ALL_LISTS, {})
    times = (
        read_written(spark, attempt, LISTS, SCHEMA)
        .groupBy(C.ITEM)
        .agg(F.count("*").alias("times"))
        .groupBy("times")
        .agg(F.count("*").alias("items"))
        .collect()
    )
    num_lists, num_listed = (np.array([row[name] for row in times], np.int64) for name in ("times", "items"))
    lists |= spread(num_lists, num_listed, num_items)
    measured = None
    if config.histories != "latest":
        measured = {name: lists[name] for name in list_metrics(config.k) if name in lists}
    return {"measured": measured, "figures": {"lists": lists, "rules": figures, "segments": segments}}


def report_lists(manifest: Manifest) -> None:
    """For people: what was written, what rules took out, and what the lists are worth."""
    counts = manifest.counts
    _LOG.info(
        "recommend: %s rows for %s users, %.0f s", f"{counts['rows']:,}", f"{counts['users']:,}", manifest.seconds
    )
    for metric, value in (manifest.details["measured"] or {}).items():
        _LOG.info("  %s of all targets over the catalogue: %.4f", metric, value)
    log_rules(manifest.details["rules"], counts)
    figures = manifest.details["figures"]
    print_table(figures_table({"all": figures["lists"]}, "What the lists hold"))
    if figures["rules"]:
        print_table(figures_table({**figures["rules"], "all rules": figures["lists"]}, "What each rule costs"))
    if figures["segments"]:
        print_table(figures_table(figures["segments"], "By length of the user's history"))
