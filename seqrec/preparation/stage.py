"""The preparation stage: reviews and items in, vocabulary and sequences out. Read `_prepare` first."""

import json
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from seqrec.core.config import recipe_settings
from seqrec.core.errors import DataError
from seqrec.core.manifest import Attempt, Dataset, Manifest, Recipe
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage
from seqrec.preparation.config import PreparationConfig
from seqrec.preparation.filters.interactions import with_item_groups
from seqrec.preparation.filters.user_events import keep_indexed, max_own_items
from seqrec.preparation.health.health import Days, count_test, count_users, measure_health
from seqrec.preparation.health.health_report import draw_distributions, print_health, warnings_of
from seqrec.preparation.negatives.population import Population, check_enough
from seqrec.preparation.prepared_tables import (
    TEST_TABLE,
    check_tables,
    describe,
    write_sequences,
    write_vocabulary,
)
from seqrec.preparation.selection import Selection, select_interactions
from seqrec.preparation.splits.boundaries import needs_days, split_rule
from seqrec.preparation.splits.split_counts import SplitCounts, count_days, count_split
from seqrec.preparation.splits.splits import SplitRule
from seqrec.preparation.writing.run_vocabulary import RunVocabulary, read_run_vocabulary
from seqrec.preparation.writing.vocabulary import (
    ItemIndices,
    collect_categories,
    number_items,
)
from seqrec.tables.files import read_table
from seqrec.tables.prepared_schemas import EVALUATION, KEPT_EVENTS, VOCABULARY_ITEMS, VOCABULARY_ITEMS_TABLE
from seqrec.tables.schemas import ITEMS, REVIEWS
from seqrec.tables.sessions import own_session, bucket_session


def run_prepare(
    spark: SparkSession, storage: Storage, name: str, config: PreparationConfig, seed: int, force: bool = False
) -> Manifest:
    """Makes `prepared/<name>` from `ingested/<name>`, unless the same was made before.

    Raises:
        DataError: the input is not there, nothing passes the filters, too few items for the negatives, or the
            counts of two steps do not fit together.
    """
    source = Dataset(storage, "ingested", name).require(made_by="ingest")
    session = own_session(spark)
    vocabulary = None if config.vocabulary is None else read_run_vocabulary(session, storage, config.vocabulary)
    inputs = {"reviews": source.table("reviews").content, "items": source.table("items").content}
    if vocabulary is not None:
        inputs["vocabulary"] = vocabulary.content
    recipe = Recipe(stage="prepare", settings=recipe_settings(config) | {"seed": seed}, inputs=inputs)
    output = StageOutput(Dataset(storage, "prepared", name), recipe, force)
    if (current := output.current()) is not None:
        return current
    attempt = output.begin()
    reviews = read_table(session, storage, source, "reviews", REVIEWS)
    items = read_table(session, storage, source, "items", ITEMS)
    try:
        return _prepare(attempt, reviews, items, config, seed, vocabulary, source.table("reviews").rows)
    except Exception:
        attempt.discard()  # Gigabytes of scratch; whoever is killed instead leaves them to the next attempt.
        raise


def _prepare(
    attempt: Attempt,
    reviews: DataFrame,
    items: DataFrame,
    config: PreparationConfig,
    seed: int,
    vocabulary: RunVocabulary | None,
    num_reviews: int,
) -> Manifest:
    spark = reviews.sparkSession
    scratch = attempt.uri("scratch")
    if config.groups is not None:  # A shuffle of all reviews: only where it is asked for.
        reviews = reviews.transform(with_item_groups, items)
    selection = select_interactions(reviews, config, seed, scratch, vocabulary)
    if selection.counts["reviews"] != num_reviews:
        raise DataError(
            f"Spark reads {selection.counts['reviews']} reviews of the {num_reviews} that the job 'ingest' wrote: "
            "files were damaged or left out. Run it again (--set force=true)."
        )
    rule = _split_rule(selection, config)
    is_known = selection.is_kept if selection.run_indices is None else selection.run_indices.by_number > 0
    expected, train_counts = count_split(selection.events, selection.is_kept, is_known, selection.k, rule)
    _check_split(expected, selection, vocabulary)

    indices = selection.run_indices or number_items(selection.is_kept, train_counts)
    tables = write_vocabulary(attempt, selection.numbered_items, indices, items, vocabulary)
    kept = _write_kept_events(selection, indices, scratch)
    recent, shared = kept, None
    if config.latest_users == "all":
        shared = spark.sparkContext.broadcast(indices.by_number)
        recent = selection.events.transform(keep_indexed, shared, 1)

    category_of = None
    if config.negative_sampling == "category":
        stored = spark.read.schema(VOCABULARY_ITEMS).parquet(attempt.uri(VOCABULARY_ITEMS_TABLE))
        category_of = collect_categories(stored, indices.num_items)
    population = _population(kept, indices.counts_by_index(selection.item_counts), category_of, config)
    tables |= write_sequences(attempt, kept, recent, rule, expected, population, config, seed)
    if shared is not None:
        shared.destroy()  # As long as the catalogue: in a session that goes on they would add up.
    check_tables(tables, expected, indices, config)
    _report_health(attempt, kept, selection, expected, indices, rule)
    attempt.storage.delete(f"{attempt.path}/scratch")
    return attempt.publish(
        tables=tables,
        counts=selection.counts | {"split": expected.to_json()},
        details=describe(tables, indices, config, rule),
    )


def _split_rule(selection: Selection, config: PreparationConfig) -> SplitRule:
    first, last = selection.filtered.first_day, selection.filtered.last_day
    days = None
    if needs_days(config):
        days = count_days(selection.events, selection.is_kept, selection.k, first, last - first + 1)
    return split_rule(config, days, first)


def _check_split(expected: SplitCounts, selection: Selection, vocabulary: RunVocabulary | None) -> None:
    if expected.events != selection.counts["kept_events"]:
        raise DataError(
            f"The k-core counts {selection.counts['kept_events']} interactions by item, {expected.events} by user. "
            "Run the stage again (--set force=true)."
        )
    if vocabulary is None and not expected.training_targets:
        raise DataError(
            f"{expected.events} interactions of {expected.users} users leave nothing to train on: "
            "a user needs two events in the training part. Loosen the filters or move the boundaries."
        )


def _write_kept_events(selection: Selection, indices: ItemIndices, scratch: str) -> DataFrame:
    """The events of the k-core with item indices, written down because four tables are made of them."""
    spark = selection.events.sparkSession
    index_by_number = spark.sparkContext.broadcast(np.where(selection.is_kept, indices.by_number, 0))
    kept = selection.events.transform(keep_indexed, index_by_number, selection.k)
    kept.write.parquet(f"{scratch}/kept", mode="overwrite")
    index_by_number.destroy()
    return bucket_session(spark).read.schema(KEPT_EVENTS).parquet(f"{scratch}/kept")


def _population(
    kept: DataFrame, item_counts: np.ndarray, category_of: np.ndarray | None, config: PreparationConfig
) -> Population:
    """What negatives are drawn from: all kept interactions, those of validation and test among them."""
    population = Population.build(item_counts, config.negative_sampling, config.negative_exponent, category_of)
    barred = max_own_items(kept) if config.exclude_own_items else 1
    check_enough(population, config.num_validation_negatives, barred, "num_validation_negatives")
    check_enough(population, config.num_test_negatives, barred, "num_test_negatives")
    return population


def _report_health(
    attempt: Attempt,
    kept: DataFrame,
    selection: Selection,
    expected: SplitCounts,
    indices: ItemIndices,
    rule: SplitRule,
) -> None:
    """Writes `health.json` and `health.png` beside the tables, and prints the figures."""
    id_ranks = np.maximum(indices.numbers_by_index(), 0).astype(np.int32)
    days = Days(selection.filtered.first_day, selection.filtered.last_day - selection.filtered.first_day + 1)
    users = count_users(kept, rule, id_ranks, days)
    test = kept.sparkSession.newSession().read.schema(EVALUATION).parquet(attempt.uri(TEST_TABLE))
    candidates = count_test(test, indices.num_trained_items, id_ranks)
    item_counts = selection.item_counts[selection.is_kept]
    health: dict[str, Any] = {"steps": selection.counts, "split": expected.to_json()}
    health |= measure_health(users, candidates, item_counts)
    health["cold_items"] = indices.num_items - indices.num_trained_items
    health["warnings"] = warnings_of(health)
    attempt.storage.write_bytes(f"{attempt.path}/health.json", json.dumps(health, indent=1).encode())
    attempt.storage.write_bytes(f"{attempt.path}/health.png", draw_distributions(health))
    print_health(health, attempt.dataset.name)
