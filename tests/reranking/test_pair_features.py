import numpy as np
import pytest

from seqrec.events.ragged import Ragged
from seqrec.events.rows import HistoryRows
from seqrec.neighbours.event_days import EventDays, event_keys
from seqrec.neighbours.finder import Candidates
from seqrec.neighbours.table import NeighbourTable
from seqrec.reranking.neighbour_sums import SUMS
from seqrec.reranking.pair_features import PairFeatures

DAY = 86_400
NUM_ITEMS = 12
RANDOM = np.random.default_rng(5)


def random_table() -> NeighbourTable:
    lengths = RANDOM.integers(0, 6, NUM_ITEMS + 1)
    items = [RANDOM.choice(np.arange(1, NUM_ITEMS + 1), size, replace=False) for size in lengths]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return NeighbourTable(
        offsets, np.concatenate(items).astype(np.int32), RANDOM.random(lengths.sum()).astype(np.float32)
    )


def random_histories(num_users: int) -> HistoryRows:
    lengths = RANDOM.integers(1, 6, num_users)
    items = RANDOM.integers(1, NUM_ITEMS + 1, lengths.sum()).astype(np.int32)
    times = np.concatenate([np.sort(RANDOM.integers(0, 500, n)) for n in lengths]) * DAY
    ragged = Ragged.from_lengths(items, lengths)
    return HistoryRows(
        items=ragged,
        timestamps=times,
        first_timestamps=times[ragged.offsets[:-1]],
        as_of=times[ragged.offsets[1:] - 1] + RANDOM.integers(0, 9, num_users) * DAY,
    )


def random_candidates(num_users: int) -> Candidates:
    items = np.stack([RANDOM.permutation(NUM_ITEMS)[:7] for _ in range(num_users)]).astype(np.int32)  # 0: none there.
    return Candidates(items, np.zeros(items.shape, np.int8))


@pytest.fixture(scope="module")
def world():
    taken = RANDOM.integers(1, NUM_ITEMS + 1, 200), RANDOM.integers(0, 500, 200) * DAY
    features = PairFeatures(
        tables={"co_visitation": random_table()},
        event_days=EventDays(np.sort(event_keys(*taken))),
        train_count=RANDOM.integers(0, 50, NUM_ITEMS + 1),
        item_category=np.concatenate([[0], RANDOM.integers(0, 4, NUM_ITEMS)]).astype(np.int32),
        runs=("run",),
        without=frozenset(),
    )
    histories, candidates = random_histories(20), random_candidates(20)
    logits = RANDOM.normal(size=candidates.items.shape).astype(np.float32)
    return features, histories, candidates, logits, taken


def test_every_feature_of_neighbours_is_the_sum_that_its_name_says(world):
    features, histories, candidates, logits, _ = world
    table = features.tables["co_visitation"]
    rows = features.build(histories, candidates, [logits])
    first = features.names.index("co_visitation_last")

    for row, column, values in zip(rows.row, rows.column, rows.values, strict=True):
        own = slice(*histories.items.offsets[row : row + 2])
        items, times = histories.items.values[own], histories.timestamps[own]
        expected = {"last": 0.0, "last_3": 0.0, "decayed": 0.0, "all": 0.0, "links": 0.0, "strongest": 0.0}
        nearest = 99.0
        for back, (item, time) in enumerate(zip(items[::-1], times[::-1], strict=True)):
            for place in range(table.offsets[item], table.offsets[item + 1]):
                if table.items[place] == candidates.items[row, column]:
                    weight = float(table.weights[place])
                    expected["last"] += weight * (back == 0)
                    expected["last_3"] += weight * (back < 3)
                    expected["decayed"] += weight * 0.8**back * 0.5 ** ((times[-1] - time) / DAY / 180)
                    expected["all"] += weight
                    expected["links"] += 1
                    expected["strongest"] = max(expected["strongest"], weight)
                    nearest = min(nearest, back)
        np.testing.assert_allclose(values[first : first + len(SUMS)], [*expected.values(), nearest], rtol=1e-5)


def test_recency_counts_events_of_earlier_days_only(world):
    features, histories, candidates, logits, (items, times) = world
    rows = features.build(histories, candidates, [logits])
    named = dict(zip(features.names, rows.values.T, strict=True))

    for pair, (row, column) in enumerate(zip(rows.row, rows.column, strict=True)):
        days = times[items == candidates.items[row, column]] // DAY
        today = histories.as_of[row] // DAY
        earlier = days[days < today]
        assert named["events"][pair] == len(earlier)
        for window in (30, 90, 365):
            assert named[f"events_{window}_days"][pair] == (earlier >= today - window).sum()
        assert named["age_days"][pair] == (today - earlier.min() if len(earlier) else -1)
        assert named["idle_days"][pair] == (today - earlier.max() if len(earlier) else -1)


def test_a_user_has_the_same_features_whoever_is_in_the_block(world):
    features, histories, candidates, logits, _ = world
    order = RANDOM.permutation(len(histories))[:9]
    together = features.build(histories, candidates, [logits])

    taken = Candidates(candidates.items[order], candidates.sources[order])
    alone = features.build(histories.take(order), taken, [logits[order]])

    for number, user in enumerate(order):
        np.testing.assert_array_equal(alone.values[alone.row == number], together.values[together.row == user])


def test_padding_gives_no_pair_and_the_other_features_are_as_named(world):
    features, histories, candidates, logits, _ = world
    rows = features.build(histories, candidates, [logits])
    named = dict(zip(features.names, rows.values.T, strict=True))
    item = candidates.items[rows.row, rows.column]

    assert (item > 0).all()
    assert len(item) == np.count_nonzero(candidates.items)
    np.testing.assert_array_equal(named["place"], rows.column + 1)
    np.testing.assert_array_equal(named["run_logit"], logits[rows.row, rows.column])
    for pair, user in enumerate(rows.row):
        own = histories.items.values[slice(*histories.items.offsets[user : user + 2])]
        mine = logits[user][candidates.items[user] > 0]
        category = features.item_category[item[pair]]
        assert named["times_taken"][pair] == (own == item[pair]).sum()
        assert named["run_place"][pair] == (mine >= named["run_logit"][pair]).sum()
        assert named["run_behind_best"][pair] == named["run_logit"][pair] - mine.max()
        assert named["is_last_category"][pair] == (category > 0 and features.item_category[own[-1]] == category)
        share = (features.item_category[own] == category).mean() if category else 0.0
        assert named["category_share"][pair] == pytest.approx(share)


def test_several_runs_are_also_judged_by_the_sum_of_their_logits(world):
    features, histories, candidates, logits, _ = world
    other = np.where(candidates.items % 2, 3.0, -1.0).astype(np.float32)
    two = PairFeatures(**{**vars(features), "runs": ("run", "other")})

    rows = two.build(histories, candidates, [logits, other])

    named = dict(zip(two.names, rows.values.T, strict=True))
    total = named["run_logit"] + named["other_logit"]
    np.testing.assert_allclose(named["runs_together_logit"], total, rtol=1e-6)
    for user in np.unique(rows.row):
        mine = total[rows.row == user]
        assert (named["runs_together_place"][rows.row == user] == [(mine >= each).sum() for each in mine]).all()
    assert not any(name.startswith("runs_together") for name in features.names)


def test_groups_can_be_left_out(world):
    features, *_ = world
    without = PairFeatures(**{**vars(features), "without": frozenset({"recency", "runs", "gaps"})})

    assert not {"events", "run_logit", "days_since_last"} & set(without.names)
    assert "place" in without.names
