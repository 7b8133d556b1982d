import dataclasses
from collections import Counter, defaultdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from seqrec.core.columns import SECONDS_PER_DAY as DAY
from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.rankings.baseline_tables import BaselineInputs, build_baselines, collect_entries
from seqrec.evaluation.rankings.baselines import ItemId, ItemPairs, RecentPopularity
from seqrec.evaluation.rankings.catalogue import read_catalogue
from seqrec.events.vocabulary import read_vocabulary
from seqrec.models.config import ModelConfig
from seqrec.scoring.run import TrainedRun
from seqrec.tables.schemas import ITEMS
from tests.evaluation.rows_by_hand import build_rows, places
from tests.evaluation.worlds import (
    NUM_ITEMS,
    evaluation_rows,
    train_counts,
    train_rows,
    write_prepared,
    write_rows,
)

# ann's second segment begins with two events of context, which are the first segment's.
TRAIN = [
    ("ann", [1, 2, 3], [0, 1 * DAY, 2 * DAY], 0, 1),
    ("ann", [2, 3, 4], [1 * DAY, 2 * DAY, 9 * DAY], 0, 2),
    ("bob", [2, 3], [8 * DAY, 9 * DAY], 8 * DAY, 1),
]


@pytest.fixture(scope="module")
def inputs(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> BaselineInputs:
    root: Path = tmp_path_factory.mktemp("tables")
    storage = Storage(str(root))
    prepared = write_prepared(storage, "small", train=TRAIN)
    metadata = [
        # item07 is index 1 and item14 index 2 (see worlds.py); a repeated line, and an item that no one reviewed.
        ("item07", None, [], "Books", None, None, None, ["item14", "item14", "nowhere"], []),
        ("item07", None, [], "Books", None, None, None, ["item14"], []),
        ("item14", None, [], "Games", None, None, None, [], []),
        ("nowhere", None, [], "Games", None, None, None, ["item07"], []),
    ]
    attempt = Dataset(storage, "ingested", "small").begin(Recipe(stage="ingest", settings={}, inputs={}))
    items = write_rows(attempt, "items", metadata, ITEMS)
    attempt.publish(tables={"items": items}, counts={})
    return BaselineInputs(spark, storage, prepared, read_vocabulary(storage, prepared), EvaluationConfig())


def build(inputs: BaselineInputs, name: str, **settings: object) -> object:
    config = dataclasses.replace(inputs.config, baselines=(name,), **settings)  # type: ignore[arg-type]
    rankers, notes = build_baselines(dataclasses.replace(inputs, config=config))
    return rankers.get(name, notes)


def test_recent_popularity_counts_every_training_event_once(inputs: BaselineInputs) -> None:
    ranker = build(inputs, "recent_popularity")

    assert isinstance(ranker, RecentPopularity)
    assert (ranker.first_day, ranker.num_days) == (0, 10)
    counts = Counter(
        {divmod(int(key), 11): int(n) for key, n in zip(ranker.keys, np.diff(ranker.cumulative), strict=True)}
    )
    assert counts == {(1, 0): 1, (2, 1): 1, (3, 2): 1, (4, 9): 1, (2, 8): 1, (3, 9): 1}


def test_co_visitation_weighs_near_events_more_and_context_not_twice(inputs: BaselineInputs) -> None:
    ranker = build(inputs, "co_visitation")

    assert isinstance(ranker, ItemPairs)
    found = {
        divmod(int(key), NUM_ITEMS + 1): int(weight) for key, weight in zip(ranker.keys, ranker.weights, strict=True)
    }
    assert found == {(1, 2): 60, (1, 3): 30, (2, 3): 120, (2, 4): 30, (3, 4): 60}


def test_co_visitation_puts_a_rare_neighbour_before_every_popular_item(spark: SparkSession, world: Storage) -> None:
    prepared = Dataset(world, "prepared", "small").require("prepare")
    vocabulary = read_vocabulary(world, prepared)
    ranker = build(BaselineInputs(spark, world, prepared, vocabulary, EvaluationConfig()), "co_visitation")
    tested = evaluation_rows(60, "test")
    rows = build_rows(*[(row[2], row[5], row[7]) for row in tested])
    candidates = np.arange(1, NUM_ITEMS + 1, dtype=np.int32)

    assert isinstance(ranker, ItemPairs)
    scores = ranker.scores(rows, candidates)

    weights: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
    for _, items, *_ in train_rows(60):
        for place, first in enumerate(items):
            for after, second in enumerate(items[place + 1 : place + 6], start=1):
                weights[first, second] += Fraction(1, after) if first != second else 0
    counts = train_counts(60)
    for own, (_, _, history, *_) in zip(scores, tested, strict=True):
        expected = [(sum(weights[last, item] for last in history[-5:]), counts[item]) for item in candidates.tolist()]
        assert places(own) == places(expected)


def test_co_visitation_keeps_the_strongest_neighbours(inputs: BaselineInputs) -> None:
    ranker = build(inputs, "co_visitation", num_neighbours=1)

    assert isinstance(ranker, ItemPairs)
    assert [divmod(int(key), NUM_ITEMS + 1) for key in ranker.keys] == [(1, 2), (2, 3), (3, 4)]


def test_also_bought_knows_items_of_the_vocabulary_alone(inputs: BaselineInputs) -> None:
    ranker = build(inputs, "also_bought")

    assert isinstance(ranker, ItemPairs)
    assert [divmod(int(key), NUM_ITEMS + 1) for key in ranker.keys] == [(1, 2)]
    assert ranker.weights.tolist() == [1]


def test_item_id_orders_by_the_id_string(inputs: BaselineInputs) -> None:
    ranker = build(inputs, "item_id")

    assert isinstance(ranker, ItemId)
    ids = {index: f"item{index * 7 % 41:02d}" for index in range(1, NUM_ITEMS + 1)}
    assert sorted(ids, key=lambda index: ids[index]) == np.argsort(ranker.id_order)[1:].tolist()


def test_collect_entries_collects_no_more_than_allowed(inputs: BaselineInputs) -> None:
    entries = inputs.spark.createDataFrame([(1, 2, 0.5), (1, 3, 0.25)], "first int, second int, weight double")

    found = collect_entries(entries, "first", "second", 2)

    assert not isinstance(found, int)
    assert sorted(zip(*(column.tolist() for column in found), strict=True)) == [(1, 2, 0.5), (1, 3, 0.25)]
    assert collect_entries(entries, "first", "second", 1) == 2
    assert "0 MB, more than evaluation.max_baseline_megabytes (512)" in inputs.too_large(2)


def test_read_catalogue_lets_items_compete_within_their_main_group(inputs: BaselineInputs) -> None:
    config = EvaluationConfig(protocol="full", full_candidates="group")

    catalogue = read_catalogue(inputs.spark, inputs.storage, inputs.prepared, inputs.vocabulary, config, [])

    assert catalogue.item_group is not None
    assert [catalogue.competitors(group).tolist() for group in (1, 2)] == [[1], [2]]
    assert len(catalogue.competitors(0)) == NUM_ITEMS - 2


def test_read_catalogue_needs_no_metadata_where_all_items_compete(inputs: BaselineInputs) -> None:
    nowhere = dataclasses.replace(inputs.prepared, name="without metadata")
    config = EvaluationConfig(protocol="full", full_candidates="group")

    with pytest.raises(DataError, match="has no metadata, .*: use evaluation.full_candidates=all"):
        read_catalogue(inputs.spark, inputs.storage, nowhere, inputs.vocabulary, config, [])
    config = EvaluationConfig(protocol="full", full_candidates="all")
    found = read_catalogue(inputs.spark, inputs.storage, nowhere, inputs.vocabulary, config, [])
    assert len(found.items) == NUM_ITEMS


def test_read_catalogue_refuses_a_large_one_for_a_ranking_model_only(inputs: BaselineInputs) -> None:
    config = EvaluationConfig(protocol="full", max_catalogue=NUM_ITEMS - 1)
    data = (inputs.spark, inputs.storage, inputs.prepared, inputs.vocabulary, config)
    retrieval, ranking = (TrainedRun(inputs.prepared, ModelConfig(name=name)) for name in ("sasrec", "a2svd"))

    with pytest.raises(DataError, match="has 40 items, more than evaluation.max_catalogue"):
        read_catalogue(*data, [retrieval, ranking])
    assert len(read_catalogue(*data, [retrieval]).items) == NUM_ITEMS
    for followed in ({"full_candidates": "group"}, {"max_catalogue": NUM_ITEMS}):
        told = (*data[:-1], dataclasses.replace(config, **followed))
        assert len(read_catalogue(*told, [retrieval, ranking]).items) == NUM_ITEMS
