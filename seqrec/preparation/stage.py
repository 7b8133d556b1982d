"""The `prepare` stage: reviews and items in, vocabulary and sequences out. Read `_prepare` first."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from seqrec.core.config import plain, recipe_settings
from seqrec.core.errors import DataError, SmallDataError
from seqrec.core.manifest import Attempt, Dataset, Manifest, Recipe
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage
from seqrec.preparation.config import PreparationConfig
from seqrec.preparation.features.config import FeaturesConfig
from seqrec.preparation.features.stage import PreparedFeatures, prepare_features
from seqrec.preparation.filters.interactions import with_item_groups
from seqrec.preparation.filters.user_events import keep_indexed, max_own_items
from seqrec.preparation.health.health_figures import Days, count_test, count_users, measure_health
from seqrec.preparation.health.health_report import publish_health
from seqrec.preparation.item_periods import ItemPeriods, Periods, count_item_periods
from seqrec.preparation.negatives.population import Population, check_enough
from seqrec.preparation.prepared_tables import (
    TEST_TABLE,
    check_tables,
    describe,
    num_train_files,
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
from seqrec.tables.sessions import bucket_session, fitted_shuffles, own_session

NO_FEATURES = FeaturesConfig()


@dataclass(frozen=True)
class PreparationInputs:
    """The tables that `ingest` wrote, and the vocabulary of a run if one is used."""

    reviews: DataFrame  # REVIEWS
    items: DataFrame  # ITEMS
    num_reviews: int  # Rows of the reviews according to their manifest.
    vocabulary: RunVocabulary | None  # None makes a new vocabulary.
    features: FeaturesConfig


def current_preparation(
    storage: Storage,
    name: str,
    config: PreparationConfig,
    seed: int,
    force: bool,
    features: FeaturesConfig = NO_FEATURES,
) -> Manifest | None:
    """`prepared/<name>`, if it is up to date; None too with a run's vocabulary, whose digest only Spark computes."""
    if config.vocabulary is not None:
        return None
    source = Dataset(storage, "ingested", name).require(made_by="ingest")
    return _output(storage, name, source, config, seed, force, features=features).current()


def run_prepare(
    spark: SparkSession,
    storage: Storage,
    name: str,
    config: PreparationConfig,
    seed: int,
    force: bool = False,
    features: FeaturesConfig = NO_FEATURES,
) -> Manifest:
    """Makes `prepared/<name>` from `ingested/<name>`, unless it is there and made with the same recipe.

    Raises:
        DataError: the input is missing, nothing passes the filters, there are too few items for the negatives, or the
            counts of two steps differ.
    """
    source = Dataset(storage, "ingested", name).require(made_by="ingest")
    session = own_session(spark)
    vocabulary = None if config.vocabulary is None else read_run_vocabulary(session, storage, config.vocabulary)
    output = _output(storage, name, source, config, seed, force, vocabulary, features)
    if (current := output.current()) is not None:
        return current
    attempt = output.begin()
    inputs = PreparationInputs(
        reviews=read_table(session, storage, source, "reviews", REVIEWS),
        items=read_table(session, storage, source, "items", ITEMS),
        num_reviews=source.table("reviews").rows,
        vocabulary=vocabulary,
        features=features,
    )
    try:
        with fitted_shuffles(session, inputs.num_reviews):
            return _prepare(attempt, inputs, config, seed)
    except Exception:
        attempt.discard()  # It holds gigabytes of scratch. A killed process leaves them for the next attempt to delete.
        raise


def _output(
    storage: Storage,
    name: str,
    source: Manifest,
    config: PreparationConfig,
    seed: int,
    force: bool,
    vocabulary: RunVocabulary | None = None,
    features: FeaturesConfig = NO_FEATURES,
) -> StageOutput:
    contents = {"reviews": source.table("reviews").content, "items": source.table("items").content}
    if vocabulary is not None:
        contents["vocabulary"] = vocabulary.content
    settings = recipe_settings(config) | {"seed": seed}
    if features.all:
        settings["features"] = plain(features.all)
    recipe = Recipe(stage="prepare", settings=settings, inputs=contents)
    return StageOutput(Dataset(storage, "prepared", name), recipe, force)


def _prepare(attempt: Attempt, inputs: PreparationInputs, config: PreparationConfig, seed: int) -> Manifest:
    """Filters, splits, indexes, writes and checks; publishes the manifest last."""
    selection = _select(attempt, inputs, config, seed)
    rule = _split_rule(selection, config)
    expected, train_counts = count_split(selection.events, selection.is_kept, selection.is_known, selection.k, rule)
    _check_split(expected, selection, inputs.vocabulary)
    indices = selection.run_indices or number_items(selection.is_kept, train_counts)

    tables = write_vocabulary(attempt, selection.numbered_items, indices, inputs.items, inputs.vocabulary)
    features = prepare_features(attempt, inputs.items, indices, inputs.features, config.vocabulary)
    kept = _write_kept_events(attempt, selection, indices)
    item_periods = _count_item_periods(kept, selection, expected, indices)
    population = _population(attempt, kept, selection, indices, item_periods, config)
    _check_enough(population, kept, expected, config)
    with _recent_events(selection, kept, indices, config) as recent:
        tables |= write_sequences(attempt, kept, recent, rule, expected, population, item_periods.periods, config, seed)
    check_tables(tables, expected, indices, config)

    warnings = _report_health(attempt, kept, selection, expected, indices, rule, item_periods, config, features)
    attempt.storage.delete(f"{attempt.path}/scratch")
    return attempt.publish(
        tables=tables | features.tables,
        counts=selection.counts | {"split": expected.to_json()},
        details=describe(tables, indices, config) | {"warnings": warnings} | features.details,
    )


def _select(attempt: Attempt, inputs: PreparationInputs, config: PreparationConfig, seed: int) -> Selection:
    """The interactions that stay; checks that Spark read every review."""
    reviews = inputs.reviews
    if config.groups is not None:  # This shuffles all reviews, so it is done only where groups are asked for.
        reviews = reviews.transform(with_item_groups, inputs.items)
    selection = select_interactions(reviews, config, seed, attempt.uri("scratch"), inputs.vocabulary)
    if selection.counts["reviews"] != inputs.num_reviews:
        raise DataError(
            f"Spark reads {selection.counts['reviews']} reviews of the {inputs.num_reviews} that the job 'ingest' "
            "wrote: files were damaged or left out. Run it again (--set force=true)."
        )
    return selection


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


def _write_kept_events(attempt: Attempt, selection: Selection, indices: ItemIndices) -> DataFrame:
    """The events of the k-core with item indices. They are written down because four tables are made from them."""
    spark, uri = selection.events.sparkSession, attempt.uri("scratch/kept")
    index_by_number = spark.sparkContext.broadcast(np.where(selection.is_kept, indices.by_number, 0))
    kept = selection.events.transform(keep_indexed, index_by_number, selection.k)
    kept.write.parquet(uri, mode="overwrite")
    index_by_number.destroy()
    return bucket_session(spark).read.schema(KEPT_EVENTS).parquet(uri)


@contextmanager
def _recent_events(
    selection: Selection, kept: DataFrame, indices: ItemIndices, config: PreparationConfig
) -> Iterator[DataFrame]:
    """The events that `latest` is made from: all events of known items, or only those of the k-core."""
    if config.latest_users != "all":
        yield kept
        return
    shared = selection.events.sparkSession.sparkContext.broadcast(indices.by_number)
    try:
        yield selection.events.transform(keep_indexed, shared, 1)
    finally:
        shared.destroy()  # It is as long as the catalogue, and a session that stays alive would collect one per run.


def _count_item_periods(
    kept: DataFrame, selection: Selection, expected: SplitCounts, indices: ItemIndices
) -> ItemPeriods:
    filtered = selection.filtered
    periods = Periods.choose(filtered.first_day, filtered.last_day, expected.events, indices.num_items)
    return count_item_periods(kept, periods, indices.num_items)


def _population(
    attempt: Attempt,
    kept: DataFrame,
    selection: Selection,
    indices: ItemIndices,
    item_periods: ItemPeriods,
    config: PreparationConfig,
) -> Population:
    """The items that negatives are drawn from, weighted by all kept interactions, also those of validation and test."""
    if config.negative_sampling == "popularity_at_time":
        return Population.build_by_period(item_periods.counts)
    category_of = None
    if config.negative_sampling == "category":
        uri = attempt.uri(VOCABULARY_ITEMS_TABLE)
        stored = selection.numbered_items.sparkSession.read.schema(VOCABULARY_ITEMS).parquet(uri)
        category_of = collect_categories(stored, indices.num_items)
    item_counts = indices.counts_by_index(selection.item_counts)
    return Population.build(item_counts, config.negative_sampling, config.negative_exponent, category_of)


def _check_enough(population: Population, kept: DataFrame, expected: SplitCounts, config: PreparationConfig) -> None:
    wanted = {key: getattr(config, key) for key in ("num_validation_negatives", "num_test_negatives")}
    barred = max_own_items(kept) if config.exclude_own_items else 1
    try:
        check_enough(population, wanted, barred, excludes_own=config.exclude_own_items)
    except SmallDataError as error:
        number = num_train_files(expected, config)
        whole, rest = divmod(expected.training_targets, number)
        error.train_files = tuple(whole + (file < rest) for file in range(number))
        raise


def _report_health(
    attempt: Attempt,
    kept: DataFrame,
    selection: Selection,
    expected: SplitCounts,
    indices: ItemIndices,
    rule: SplitRule,
    item_periods: ItemPeriods,
    config: PreparationConfig,
    features: PreparedFeatures,
) -> list[str]:
    """Measures the prepared data; writes `health.json` and `health.png` beside the tables; prints the figures.

    Returns: the warnings.
    """
    id_ranks = np.maximum(indices.numbers_by_index(), 0).astype(np.int32)
    days = Days(selection.filtered.first_day, selection.filtered.last_day - selection.filtered.first_day + 1)
    users = count_users(kept, rule, id_ranks, days)
    test = kept.sparkSession.newSession().read.schema(EVALUATION).parquet(attempt.uri(TEST_TABLE))
    candidates = count_test(test, indices.num_trained_items, id_ranks, item_periods.first())
    health: dict[str, Any] = {"steps": selection.counts, "split": expected.to_json()}
    health["settings"] = {"tie_order": config.tie_order, "negative_sampling": config.negative_sampling}
    health |= measure_health(users, candidates, selection.item_counts[selection.is_kept])
    health["cold_items"] = indices.num_items - indices.num_trained_items
    if features.details:
        health["features"] = features.measure(kept.sparkSession, attempt, indices)
    return publish_health(attempt, health)
