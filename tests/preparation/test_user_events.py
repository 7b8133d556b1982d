from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from seqrec.preparation.user_events import group_events

REVIEWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=40
)  # User, item, time, line.


def grouped(reviews, drop_duplicates=True, repeated_items="all"):
    users = sorted({review[0] for review in reviews})
    owner = np.array([users.index(review[0]) for review in reviews])
    items, times, lines = (np.array([review[k] for review in reviews]) for k in (1, 2, 3))
    ties = (items * 7919 + owner * 31) % 11  # Equal for an equal user and item, and otherwise in another order.
    return group_events(
        pa.array([f"user {u}" for u in users]),
        owner,
        items,
        times,
        ties,
        lines if drop_duplicates else None,
        repeated_items,
    ).to_pylist()


@given(REVIEWS, st.booleans())
def test_group_events_keeps_one_of_each_line_in_time_order(reviews, drop):
    rows = grouped(reviews, drop)

    for row in rows:
        own = [review for review in reviews if f"user {review[0]}" == row["user_id"]]
        left = list(set(own)) if drop else own
        assert row["timestamps"] == sorted(row["timestamps"])
        found = Counter(zip(row["item_indices"], row["timestamps"], strict=True))
        assert found == Counter((item, time) for _, item, time, _ in left)
        assert (row["num_reviews"], row["num_unique"]) == (len(own), len(left))
    assert len(rows) == len({review[0] for review in reviews})


@given(REVIEWS, st.randoms(use_true_random=False))
def test_group_events_does_not_depend_on_the_order_of_the_reviews(reviews, random):
    shuffled = random.sample(reviews, len(reviews))

    assert grouped(reviews) == grouped(shuffled)


@given(REVIEWS)
def test_group_events_keeps_the_first_or_the_last_of_repeated_items(reviews):
    for which, choose in (("first", min), ("last", max)):
        for row in grouped(reviews, repeated_items=which):
            own = [review for review in reviews if f"user {review[0]}" == row["user_id"]]
            wanted = {item: choose(time for _, i, time, _ in own if i == item) for item in {r[1] for r in own}}
            assert dict(zip(row["item_indices"], row["timestamps"], strict=True)) == wanted
            assert len(row["item_indices"]) == len(wanted)
