import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from seqrec.core.errors import DataError
from seqrec.core.local_copies import save_array
from seqrec.core.manifest import Dataset, FileEntry, Recipe, Table
from seqrec.core.storage import Storage
from seqrec.evaluation.drift.config import DriftConfig
from seqrec.evaluation.drift.measures import compare_numbers, cumulative_distance, stability_index
from seqrec.evaluation.drift.stage import run_drift
from seqrec.events.features import FeatureBlock
from seqrec.tables import prepared_schemas as schemas
from tests.evaluation.worlds import write_rows

DAY = 86_400
NUM_ITEMS, NUM_USERS, LENGTH = 40, 300, 6
BLOCKS = (FeatureBlock("colour", 1, 6), FeatureBlock("price", 6, 10, points=(1.0, 2.0, 5.0)))
NAMES = [f"colour={i}" for i in range(1, 6)] + [f"price#{i}" for i in range(6, 10)]


def world(storage, name, *, shift=0.0, first_item=0, late_items=0):
    """`prepared/<name>`: users with events on days 0 to 59; `shift` moves the price of so many of the items.

    Args:
        first_item: number in the id of the first item, so that items of two worlds overlap in part.
        late_items: in the second half of the days, items are so many places further on.
    """
    rng = np.random.default_rng(5)
    attempt = Dataset(storage, "prepared", name).begin(Recipe(stage="prepare", settings={"name": name}, inputs={}))
    rows = []
    for user in range(NUM_USERS):
        days = np.sort(rng.integers(0, 60, LENGTH))
        items = 1 + (rng.integers(0, NUM_ITEMS // 2, LENGTH) + late_items * (days >= 30)) % NUM_ITEMS
        rows.append((f"u{user}", items.tolist(), (days * DAY).tolist(), int(days[0]) * DAY))
    item_rows = np.zeros((NUM_ITEMS + 1, 2), np.int32)
    item_rows[1:, 0] = 1 + rng.integers(0, 5, NUM_ITEMS)
    item_rows[1:, 1] = 6 + rng.integers(0, 4, NUM_ITEMS)
    moved = int(shift * NUM_ITEMS)
    item_rows[1 : 1 + moved, 1] = 9
    weights = np.ones_like(item_rows, np.float16)
    weights[0] = 0
    names = list(enumerate(NAMES, start=1))
    ids = [(i, f"item{i + first_item:03d}", 0, 1) for i in range(1, NUM_ITEMS + 1)]
    tables = {
        "vocabulary/items": write_rows(attempt, "vocabulary/items", ids, schemas.VOCABULARY_ITEMS),
        "vocabulary/features": write_rows(attempt, "vocabulary/features", names, schemas.VOCABULARY_FEATURES),
        "sequences/latest": write_rows(attempt, "sequences/latest", rows, schemas.LATEST, num_files=2),
    }
    for table, values in (("features/item_rows", item_rows), ("features/item_weights", weights)):
        path = f"{attempt.path}/{table}.npy"
        save_array(storage, path, values)
        size = len(storage.read_bytes(path))
        tables[table] = Table(rows=NUM_ITEMS, content="", files=(FileEntry(path=path, rows=NUM_ITEMS, size=size),))
    details = {"num_items": NUM_ITEMS, "features": [asdict(block) for block in BLOCKS]}
    return attempt.publish(tables=tables, counts={}, details=details)


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


def named(storage, name):
    """The properties whose index is above the default limit, as the file states them."""
    stored = json.loads(storage.read_bytes(f"drift/{name}/drift.json"))
    return {each["name"] for each in stored["differences"] if each["psi"] > 0.25}


def test_equal_data_has_not_drifted(storage):
    world(storage, "old")
    world(storage, "new")

    drift = run_drift(storage, "new", DriftConfig(reference="old", fail_above=1e-9))

    assert all(each.psi == 0.0 and not each.ks for each in drift.differences)
    assert (drift.unknown_items, drift.turnover) == (0.0, pytest.approx(0.0))
    assert {each.name for each in drift.differences} >= {"colour", "price", "items", "weekday", "month"}


def test_one_shifted_feature_is_named_and_no_other(storage):
    world(storage, "old")
    world(storage, "new", shift=0.4)

    with pytest.raises(DataError, match=r"changed by more than drift.fail_above=0.25: price \(\d\.\d+\)\. Train"):
        run_drift(storage, "new", DriftConfig(reference="old"))

    assert named(storage, "new") == {"price"}
    page = storage.read_bytes("drift/new/drift.html").decode()
    assert page.count('<tr class="changed">') == 1
    assert run_drift(storage, "new", DriftConfig(reference="old", fail_above=None)).differences[0].name == "price"
    assert run_drift(storage, "new", DriftConfig(reference="old", fail_above=9.9)).differences[0].name == "price"


def test_a_day_without_events_on_one_side_is_moved(storage):
    world(storage, "still")

    with pytest.raises(DataError, match=r"there are no events of still since 1970-12-31\. Move drift\.since"):
        run_drift(storage, "still", DriftConfig(fail_above=None, since="1970-12-31"))
    assert run_drift(storage, "still", DriftConfig(fail_above=None, since="1970-01-31")).num_events[1] > 0


def test_later_events_are_compared_with_earlier_ones(storage):
    world(storage, "still")
    world(storage, "moved", late_items=NUM_ITEMS // 2)

    still = run_drift(storage, "still", DriftConfig(fail_above=None))
    moved = run_drift(storage, "moved", DriftConfig(fail_above=None, since="1970-01-31"))

    assert "items" not in named(storage, "still")
    assert "items" in named(storage, "moved")
    assert moved.unknown_items == 1.0
    assert still.num_events[0] + still.num_events[1] == NUM_USERS * LENGTH
    assert moved.reference == "moved before 1970-01-31"


def test_items_of_two_vocabularies_are_matched_by_id(storage):
    world(storage, "old")
    world(storage, "new", first_item=NUM_ITEMS // 4)

    drift = run_drift(storage, "new", DriftConfig(reference="old", fail_above=None))

    # Items 1 to 20 occur in both; those of the new data are the ids 11 to 30, of which the old data has 11 to 20.
    assert drift.unknown_items == pytest.approx(0.5, abs=0.05)


def test_an_empty_window_is_refused(storage):
    world(storage, "old")

    with pytest.raises(DataError, match="no events of old since 2001-01-01. Move drift.since"):
        run_drift(storage, "old", DriftConfig(since="2001-01-01"))


def test_the_measures_are_those_of_their_definitions():
    before, after = np.array([49.5, 49.5]), np.array([79.5, 19.5])  # With 0.5 added: shares 1/2, 1/2 and 0.8, 0.2.

    assert stability_index(before, after) == pytest.approx(0.3 * math.log(1.6) - 0.3 * math.log(0.4))
    assert cumulative_distance(np.array([1, 1, 2]), np.array([3, 1, 0])) == pytest.approx(0.5)
    values = np.array([1.0, 2.0, 3.0, np.nan])
    same = compare_numbers("x", (values, np.ones(4)), (values, 10 * np.ones(4)), 4)
    gone = compare_numbers("x", (values, np.ones(4)), (values, np.array([0.0, 0.0, 3.0, 0.0])), 4)
    assert same.ks == pytest.approx(0.0)
    assert gone.ks == pytest.approx(2 / 3)
    assert replace(gone, psi=0.0).name == "x"
