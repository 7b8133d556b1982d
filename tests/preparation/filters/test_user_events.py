from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from seqrec.preparation.filters.user_events import _encode_users, _time_order, group_events

REVIEWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=40
)  # User, item, time, line.


def grouped(reviews, drop_duplicates=True, repeated_items="all"):
    users = sorted({review[0] for review in reviews})
    owner = np.array([users.index(review[0]) for review in reviews])
    items, times, lines = (np.array([review[k] for review in reviews]) for k in (1, 2, 3))
    ties = (items * 7919 + owner * 31) % 11  # Equal for an equal user and item, and otherwise in another order.
    rows, num_unique = group_events(
        pa.array([f"user {u}" for u in users]),
        np.arange(len(users)),
        owner,
        items,
        times,
        ties,
        lines if drop_duplicates else None,
        repeated_items,
    )
    return rows.to_pylist(), num_unique


@given(REVIEWS, st.booleans())
def test_group_events_keeps_one_of_each_line_in_time_order(reviews, drop):
    rows, num_unique = grouped(reviews, drop)

    for row in rows:
        own = [review for review in reviews if f"user {review[0]}" == row["user_id"]]
        left = list(set(own)) if drop else own
        assert row["timestamps"] == sorted(row["timestamps"])
        found = Counter(zip(row["item_indices"], row["timestamps"], strict=True))
        assert found == Counter((item, time) for _, item, time, _ in left)
    assert num_unique == len(set(reviews) if drop else reviews)
    assert len(rows) == len({review[0] for review in reviews})


@given(REVIEWS, st.randoms(use_true_random=False))
def test_group_events_does_not_depend_on_the_order_of_the_reviews(reviews, random):
    shuffled = random.sample(reviews, len(reviews))

    assert grouped(reviews) == grouped(shuffled)


@given(REVIEWS)
def test_group_events_keeps_the_first_or_the_last_of_repeated_items(reviews):
    for which, choose in (("first", min), ("last", max)):
        for row in grouped(reviews, repeated_items=which)[0]:
            own = [review for review in reviews if f"user {review[0]}" == row["user_id"]]
            wanted = {item: choose(time for _, i, time, _ in own if i == item) for item in {r[1] for r in own}}
            assert dict(zip(row["item_indices"], row["timestamps"], strict=True)) == wanted
            assert len(row["item_indices"]) == len(wanted)


@given(REVIEWS, st.sampled_from([1, 86_400, 2**40, 2**61]))
def test_time_order_is_that_of_three_sort_keys_however_far_apart_the_times_are(reviews, unit):
    owner, times, ties = (np.array([review[k] for review in reviews]) for k in (0, 2, 1))

    assert _time_order(owner, (times - 1) * unit, ties).tolist() == np.lexsort((ties, times, owner)).tolist()


def test_encode_users_orders_them_by_key():
    users, keys, owner = _encode_users(pa.array(["b", "a", "b", "c"]), np.array([-5, 9, -5, 2]))

    assert users.to_pylist() == ["b", "c", "a"]
    assert (keys.tolist(), owner.tolist()) == ([-5, 2, 9], [0, 2, 0, 1])
