from collections import Counter
from itertools import pairwise

import pytest

from seqrec.ingestion.config import SynthesisConfig
from seqrec.ingestion.synthetic.events import NUM_PHASES, build_events

SIZE = {"num_reviews": 6000, "num_users": 500, "num_items": 400, "num_clusters": 10}
DAY = 86_400


def events(spark, seed=1, **changes):
    """User -> [(timestamp, number of the event, item number)], in order."""
    users = {}
    for user, event, item, timestamp in build_events(spark, SynthesisConfig(**(SIZE | changes)), seed).collect():
        users.setdefault(user, []).append((timestamp, event, item))
    return {user: sorted(rows) for user, rows in users.items()}


def phase_of(item):
    return item % (SIZE["num_clusters"] * NUM_PHASES) % NUM_PHASES


def cluster_of(item):
    return item % (SIZE["num_clusters"] * NUM_PHASES) // NUM_PHASES


def share_that_gap_tells_phase(users):
    """The steps from one day to the next: near keeps the phase, far changes it."""
    steps = [
        ((later - earlier) / DAY <= 3) == (phase_of(one) == phase_of(other))
        for rows in users.values()
        for (earlier, _, one), (later, _, other) in pairwise(rows)
        if earlier != later
    ]
    return sum(steps) / len(steps)


def share_of_same_phase(users):
    """The steps from one day to the next."""
    steps = [
        phase_of(one) == phase_of(other)
        for rows in users.values()
        for (earlier, _, one), (later, _, other) in pairwise(rows)
        if earlier != later
    ]
    return sum(steps) / len(steps)


def share_in_three_clusters(users):
    """The share of each user's events in the user's three most frequent clusters, on average."""
    shares = []
    for rows in users.values():
        counts = Counter(cluster_of(item) for _, _, item in rows)
        shares.append(sum(count for _, count in counts.most_common(3)) / len(rows))
    return sum(shares) / len(shares)


@pytest.fixture(scope="module")
def planted(spark):
    return events(spark)


def test_build_events_makes_exactly_as_many_as_asked(planted):
    assert sum(map(len, planted.values())) == 6000
    assert set(planted) == set(range(500))


def test_build_events_gives_every_user_the_least_number(planted):
    assert min(map(len, planted.values())) >= 6


@pytest.mark.parametrize(
    ("num_reviews", "num_users", "least", "most"),
    [(1900, 100, 6, 20), (5000, 1000, 1, 5), (300, 100, 3, 3), (7, 1, 1, 9)],
)
def test_build_events_gives_no_user_more_than_the_most(spark, num_reviews, num_users, least, most):
    limits = {"min_reviews_per_user": least, "max_reviews_per_user": most}

    counts = [len(rows) for rows in events(spark, num_reviews=num_reviews, num_users=num_users, **limits).values()]

    assert sum(counts) == num_reviews
    assert len(counts) == num_users
    assert least <= min(counts)
    assert max(counts) <= most


def test_build_events_follows_a_power_law(planted):
    per_user = sorted(map(len, planted.values()))
    per_item = sorted(Counter(item for rows in planted.values() for _, _, item in rows).values())

    assert per_user[-1] > 8 * per_user[len(per_user) // 2]
    assert per_item[-1] > 5 * per_item[len(per_item) // 2]
    assert len(per_item) > 390


def test_build_events_has_whole_days_within_the_years_of_the_dump(planted):
    times = [timestamp for rows in planted.values() for timestamp, _, _ in rows]

    assert all(timestamp % DAY == 0 for timestamp in times)
    assert min(times) > 820_000_000
    assert max(times) < 1_540_000_000


def test_build_events_shares_days_as_real_reviews_do(planted):
    rows = [(user, timestamp) for user, events_ in planted.items() for timestamp, _, _ in events_]
    shared = sum(count for count in Counter(rows).values() if count > 1) / len(rows)

    assert 0.2 < shared < 0.6


def test_build_events_keeps_one_phase_on_a_day(planted):
    for rows in planted.values():
        phases = {}
        for timestamp, _, item in rows:
            assert phases.setdefault(timestamp, phase_of(item)) == phase_of(item)


def test_build_events_tells_the_phase_by_last_item_and_gap_together(planted):
    assert share_that_gap_tells_phase(planted) > 0.95


def test_build_events_tells_the_phase_by_the_last_item_alone_as_often_as_it_stays(spark, planted):
    assert abs(share_of_same_phase(planted) - 0.7) < 0.03
    even = events(spark, stay_share=0.5)
    assert abs(share_of_same_phase(even) - 0.5) < 0.03
    assert share_that_gap_tells_phase(even) > 0.95


def test_build_events_tells_the_phase_by_the_gap_alone_never(planted):
    first = [
        phase_of(other)
        for rows in planted.values()
        for (earlier, _, _), (later, _, other) in pairwise(rows)
        if 0 < later - earlier <= 3 * DAY
    ]

    assert abs(sum(first) / len(first) - 0.5) < 0.03


def test_build_events_gives_users_a_lasting_taste(planted):
    assert share_in_three_clusters(planted) > 0.75


def test_build_events_with_shuffled_structure_has_none(spark, planted):
    shuffled = events(spark, shuffle_structure=True)

    assert abs(share_that_gap_tells_phase(shuffled) - 0.5) < 0.03
    assert share_in_three_clusters(shuffled) < 0.65
    assert [len(shuffled[user]) for user in range(500)] == [len(planted[user]) for user in range(500)]


def test_build_events_with_shuffled_times_keeps_the_taste_alone(spark):
    shuffled = events(spark, shuffle_times=True)

    assert abs(share_that_gap_tells_phase(shuffled) - 0.5) < 0.03
    assert share_in_three_clusters(shuffled) > 0.75


def test_build_events_depends_on_the_seed_and_on_nothing_else(spark, planted):
    assert events(spark, num_files=7) == planted
    assert events(spark, seed=2) != planted
