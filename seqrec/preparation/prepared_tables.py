"""The six tables of a prepared dataset: written, checked against the counts, and described for the manifest."""

from operator import attrgetter
from typing import Any

from pyspark.sql import DataFrame

from seqrec.core.errors import DataError
from seqrec.core.manifest import Attempt, Table
from seqrec.preparation.config import PreparationConfig
from seqrec.preparation.item_periods import Periods
from seqrec.preparation.negatives.population import Population
from seqrec.preparation.splits.split_counts import SplitCounts
from seqrec.preparation.splits.splits import SplitRule
from seqrec.preparation.writing.file_plan import num_files_for
from seqrec.preparation.writing.run_vocabulary import RunVocabulary
from seqrec.preparation.writing.vocabulary import (
    ItemIndices,
    build_categories,
    build_item_rows,
    build_items,
    with_category,
)
from seqrec.preparation.writing.writer import NegativeDraw, build_evaluation, build_latest, build_train, write_files
from seqrec.tables.files import write_table
from seqrec.tables.prepared_schemas import VOCABULARY_CATEGORIES, VOCABULARY_CATEGORIES_TABLE, VOCABULARY_ITEMS_TABLE

TRAIN_TABLE = "sequences/train"
VALIDATION_TABLE = "sequences/validation"
TEST_TABLE = "sequences/test"
LATEST_TABLE = "sequences/latest"

_VALIDATION_SALT, _TEST_SALT = 1, 2
_MAX_ROWS_PER_FILE, _MIN_ROWS_PER_FILE = 50_000, 1_000  # Bounds for the files of validation, test and latest.


def write_vocabulary(
    attempt: Attempt,
    numbered_items: DataFrame,
    indices: ItemIndices,
    items: DataFrame,
    vocabulary: RunVocabulary | None,
) -> dict[str, Table]:
    """Writes the two vocabulary tables: new ones, or copies of a run's."""
    if vocabulary is not None:
        return {
            VOCABULARY_ITEMS_TABLE: write_table(vocabulary.items.coalesce(1), attempt, VOCABULARY_ITEMS_TABLE),
            VOCABULARY_CATEGORIES_TABLE: write_table(
                vocabulary.categories.coalesce(1), attempt, VOCABULARY_CATEGORIES_TABLE
            ),
        }
    spark = numbered_items.sparkSession
    shared = spark.sparkContext.broadcast(indices)
    categorized = numbered_items.transform(build_item_rows, shared).transform(with_category, items)
    categorized.write.parquet(attempt.uri("scratch/categorized"), mode="overwrite")
    shared.destroy()
    categorized = spark.read.schema(categorized.schema).parquet(attempt.uri("scratch/categorized"))
    categories = write_table(categorized.transform(build_categories), attempt, VOCABULARY_CATEGORIES_TABLE)
    stored = spark.read.schema(VOCABULARY_CATEGORIES).parquet(attempt.uri(VOCABULARY_CATEGORIES_TABLE))
    item_rows = write_table(
        categorized.transform(build_items, stored, indices.num_items), attempt, VOCABULARY_ITEMS_TABLE
    )
    if item_rows.rows != indices.num_items:
        raise DataError(
            f"The ingested items give {item_rows.rows} rows for the {indices.num_items} items of the vocabulary: "
            "some have more than one. Run the job 'ingest' again."
        )
    return {VOCABULARY_ITEMS_TABLE: item_rows, VOCABULARY_CATEGORIES_TABLE: categories}


def write_sequences(
    attempt: Attempt,
    kept: DataFrame,
    recent: DataFrame,
    rule: SplitRule,
    expected: SplitCounts,
    population: Population,
    periods: Periods,
    config: PreparationConfig,
    seed: int,
) -> dict[str, Table]:
    """Writes the four sequence tables.

    Args:
        kept: events of the k-core by user.
        recent: events of known items by user, for `latest`.
        expected: how many rows and targets there will be, which decides the number of files.
        periods: those that the population has, if negatives are drawn from the target's period.
    """
    history = config.max_stored_history
    num_files = num_train_files(expected, config)
    train = kept.transform(build_train, rule, config.max_targets_per_segment, history, num_files)
    tables = {TRAIN_TABLE: write_files(train, attempt, TRAIN_TABLE, count_targets=True)}

    shared = kept.sparkSession.sparkContext.broadcast(population)
    for name, part, num_rows, num_negatives, salt in (
        (VALIDATION_TABLE, "validation", expected.validation, config.num_validation_negatives, _VALIDATION_SALT),
        (TEST_TABLE, "test", expected.test, config.num_test_negatives, _TEST_SALT),
    ):
        draw = NegativeDraw(shared, num_negatives, seed, salt, config.exclude_own_items, periods)
        rows = kept.transform(build_evaluation, attrgetter(part), rule, history, draw, _num_row_files(num_rows, config))
        tables[name] = write_files(rows, attempt, name)
    shared.destroy()

    latest = recent.transform(build_latest, _num_row_files(num_latest(expected, config), config))
    tables[LATEST_TABLE] = write_files(latest, attempt, LATEST_TABLE)
    return tables


def num_train_files(expected: SplitCounts, config: PreparationConfig) -> int:
    """Files of `sequences/train`."""
    return num_files_for(
        expected.training_targets, config.max_targets_per_file, config.min_targets_per_file, config.num_streams_max
    )


def check_tables(
    tables: dict[str, Table], expected: SplitCounts, indices: ItemIndices, config: PreparationConfig
) -> None:
    """Compares the rows and targets that were written with those that were counted before.

    Raises:
        DataError: a table differs; the message names the first one.
    """
    rows = {
        VOCABULARY_ITEMS_TABLE: indices.num_items,
        VALIDATION_TABLE: expected.validation,
        TEST_TABLE: expected.test,
        LATEST_TABLE: num_latest(expected, config),
    }
    for name, number in rows.items():
        if tables[name].rows != number:
            raise DataError(f"{name} has {tables[name].rows} rows, not {number}. Run the stage again.")
    targets = sum(file.targets or 0 for file in tables[TRAIN_TABLE].files)
    if targets != expected.training_targets:
        raise DataError(f"{TRAIN_TABLE} has {targets} targets, not {expected.training_targets}. Run the stage again.")


def num_latest(expected: SplitCounts, config: PreparationConfig) -> int:
    """Rows of `sequences/latest`, one per user."""
    return expected.latest if config.latest_users == "all" else expected.users


def describe(tables: dict[str, Table], indices: ItemIndices, config: PreparationConfig) -> dict[str, Any]:
    """The details in the manifest, which later stages need beside the tables."""
    return {
        "num_trained_items": indices.num_trained_items,
        "num_items": indices.num_items,
        "num_categories": tables[VOCABULARY_CATEGORIES_TABLE].rows,
        "num_negatives": {"validation": config.num_validation_negatives, "test": config.num_test_negatives},
        "max_stored_history": config.max_stored_history,
        "tie_order": config.tie_order,
        "split": config.split,
    }


def _num_row_files(num_rows: int, config: PreparationConfig) -> int:
    return num_files_for(num_rows, _MAX_ROWS_PER_FILE, _MIN_ROWS_PER_FILE, config.num_streams_max)
