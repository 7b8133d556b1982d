"""The features of a few items, made by Spark, against rows and weights that were worked out by hand."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
from seqrec.preparation.features.config import FeatureConfig
from seqrec.preparation.features.item_table import write_item_features
from seqrec.tables.files import write_table
from seqrec.tables.prepared_schemas import VOCABULARY_ITEMS, VOCABULARY_ITEMS_TABLE
from seqrec.tables.schemas import ITEMS

# Index, id, training events; brand, category path, title, price. Item e has no metadata, item d no training events.
WORLD = [
    (1, "a", 6, "Sony", ["Music", "Pop"], "Blue train", 1.0),
    (2, "b", 3, "Acme", ["Music", "Jazz", "Music", ""], "A blue, blue day!", 3.0),
    (3, "c", 1, "Sony", None, None, None),
    (4, "d", 0, "Rare", ["Books"], "Train", 9.0),
    (5, "e", 0, None, None, None, None),
]
FEATURES = (
    FeatureConfig(name="brand", column="brand", kind="categorical"),
    FeatureConfig(name="path", column="category_path", kind="multi", max_vocabulary=2),
    FeatureConfig(name="title", column="title", kind="multi", embedding="hash", size=8, words=2, max_values=5),
    FeatureConfig(name="bucket", column="price", kind="continuous", size=2),
    FeatureConfig(name="line", column="price", kind="continuous", embedding="piecewise_linear", size=2),
    FeatureConfig(name="scaled", column="price", kind="continuous", embedding="standardised"),
)


@pytest.fixture(scope="module")
def written(spark, tmp_path_factory):
    storage = Storage(str(tmp_path_factory.mktemp("features")))
    attempt = Dataset(storage, "prepared", "small").begin(Recipe(stage="prepare", settings={}, inputs={}))
    vocabulary = spark.createDataFrame([(i, item, 0, n) for i, item, n, *_ in WORLD], VOCABULARY_ITEMS)
    write_table(vocabulary, attempt, VOCABULARY_ITEMS_TABLE)
    rows = [
        (item, None, path, None, title, brand, price, None, None) for _, item, _, brand, path, title, price in WORLD
    ]
    made = write_item_features(attempt, spark.createDataFrame(rows[:4], ITEMS), len(WORLD), FEATURES)
    (file,) = made.tables["vocabulary/features"].files
    with storage.open_input(file.path) as stream:
        names = pq.read_table(stream).to_pydict()
    return made, dict(zip(names["feature_row"], names["feature_value"], strict=True))


def slots(written, item, feature):
    """Name of a row -> its weight, for one item and feature."""
    made, names = written
    block = next(block for block in made.arrays.blocks if block.name == feature)
    rows, weights = made.arrays.rows()[item], made.arrays.weights()[item]
    found: dict[str, float] = {}
    for row, weight in zip(rows, weights, strict=True):
        if block.start <= row < block.end and weight:  # Hashed values may share a row.
            found[names[int(row)]] = found.get(names[int(row)], 0.0) + float(weight)
    return found


def test_every_row_but_padding_has_one_name(written):
    made, names = written

    assert sorted(names) == list(range(1, made.arrays.num_rows))
    assert len(set(names.values())) == len(names)
    assert not made.arrays.rows()[0].any()


def test_a_value_has_a_row_if_training_knows_it(written):
    assert slots(written, 1, "brand") == {"brand=Sony": 1.0}
    assert slots(written, 4, "brand") == {"brand#(other)": 1.0}
    assert slots(written, 5, "brand") == {"brand#(missing)": 1.0}


def test_several_values_share_the_weight(written):
    # Music has 9 events, Pop 6, Jazz 3: two have rows. A value counts once for an item, and an empty text not at all.
    assert slots(written, 1, "path") == {"path=Music": 0.5, "path=Pop": 0.5}
    assert slots(written, 2, "path") == {"path=Music": 0.5, "path#(other)": 0.5}
    assert slots(written, 3, "path") == {"path#(missing)": 1.0}


def test_words_and_pairs_of_a_title_are_hashed(written):
    # "a blue blue day": a, blue, day, "a blue", "blue blue", "blue day", cut to five.
    assert sum(slots(written, 2, "title").values()) == pytest.approx(1.0, abs=2e-3)
    # Trained items have blue, train, "blue train"; a, day, "a blue", "blue blue" (the sixth, "blue day", is cut).
    assert written[0].figures["title"]["values"] == 7
    assert slots(written, 3, "title") == {"title#(missing)": 1.0}


def test_a_number_becomes_a_bucket_or_a_place_between_knots_or_a_multiple(written):
    # Six events at 1.0 and three at 3.0: the quantiles 0, 1/2, 1 are 1, 1, 3, so there is one bucket of two knots.
    assert slots(written, 1, "bucket") == slots(written, 4, "bucket") == {"bucket#1": 1.0}
    assert slots(written, 1, "line") == {"line#1": 1.0}
    assert slots(written, 4, "line") == {"line#2": 1.0}
    mean = (6 * 1.0 + 3 * 3.0) / 9
    deviation = math.sqrt((6 * (1.0 - mean) ** 2 + 3 * (3.0 - mean) ** 2) / 9)
    scaled = slots(written, 2, "scaled")
    assert scaled == {"scaled#1": 1.0, "scaled#2": pytest.approx((3.0 - mean) / deviation, abs=2e-3)}
    assert slots(written, 4, "scaled")["scaled#2"] == 5.0
    assert slots(written, 3, "line") == {"line#(missing)": 1.0}


def test_weights_fit_the_rows(written):
    made, _ = written

    assert ((made.arrays.weights() != 0) <= (made.arrays.rows() != 0)).all()
    assert made.arrays.rows().dtype == np.int32
