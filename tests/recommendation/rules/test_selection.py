"""Rules of lists: a property that no list breaks one of them, and lists against a loop that picks item by item."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrec.events.ragged import Ragged
from seqrec.events.rows import HistoryRows
from seqrec.neighbours.event_days import EventDays, event_keys
from seqrec.neighbours.finder import Candidates
from seqrec.recommendation.rules.selection import BARRING, ItemFacts, ListRules
from seqrec.recommendation.rules_config import RulesConfig

DAY, NUM_ITEMS, NOW = 86_400, 30, 1_000 * 86_400
FILES = {"blocked_items": "a", "blocked_categories": "b", "in_stock": "c"}  # Their contents are in `barred`.


def facts_of(seed: int) -> ItemFacts:
    random = np.random.default_rng(seed)
    items = np.repeat(np.arange(1, NUM_ITEMS), random.integers(1, 4, NUM_ITEMS - 1))  # Nobody took the last item.
    keys = np.sort(event_keys(items, random.integers(800, 1_010, len(items)) * DAY))
    barred = random.integers(0, 16, NUM_ITEMS + 1) * (random.random(NUM_ITEMS + 1) < 0.3)
    return ItemFacts(
        barred=barred.astype(np.uint8),
        brand=random.integers(0, 5, NUM_ITEMS + 1).astype(np.int32),
        category=random.integers(0, 4, NUM_ITEMS + 1).astype(np.int32),
        train_count=random.integers(0, 30, NUM_ITEMS + 1),
        event_days=EventDays(keys),
        vectors=random.normal(size=(NUM_ITEMS - 3, 4)).astype(np.float32),
    )


def histories_of(rows: list[list[tuple[int, int]]]) -> HistoryRows:
    """Histories of (item, days ago)."""
    events = [sorted(row, key=lambda event: -event[1]) for row in rows]
    items = Ragged.from_lengths(np.array([i for row in events for i, _ in row], np.int32), np.array([*map(len, rows)]))
    times = np.array([NOW - days * DAY for row in events for _, days in row], np.int64)
    now = np.full(len(rows), NOW, np.int64)
    return HistoryRows(items=items, timestamps=times, first_timestamps=now, as_of=now)


def scored(seed: int, num_rows: int, width: int) -> tuple[Candidates, np.ndarray]:
    random = np.random.default_rng(seed)
    items = np.stack([random.permutation(NUM_ITEMS)[:width] + 1 for _ in range(num_rows)]).astype(np.int32)
    items[random.random(items.shape) < 0.1] = 0
    return Candidates(items, (items % 3).astype(np.int8)), random.integers(0, 6, items.shape).astype(np.float32)


rule_settings = st.fixed_dictionaries(
    {
        "own_items_after_days": st.none() | st.integers(0, 60),
        "min_price": st.none() | st.just(1.0),
        "max_per_brand": st.none() | st.integers(1, 3),
        "max_per_category": st.none() | st.integers(1, 3),
        "min_long_tail": st.integers(0, 4),
        "min_new": st.integers(0, 4),
        "diversity": st.sampled_from([0.0, 0.5, 1.0]),
        "diversity_pool": st.sampled_from([3, 100]),
    },
    optional={name: st.just(file) for name, file in FILES.items()},
)
histories = st.lists(
    st.lists(st.tuples(st.integers(1, NUM_ITEMS), st.integers(0, 90)), max_size=5), min_size=1, max_size=4
)


def is_new(facts: ItemFacts, item: int, config: RulesConfig) -> bool:
    days = [key & (1 << 20) - 1 for key in facts.event_days.keys.tolist() if key >> 20 == item]
    days = [day for day in days if day < NOW // DAY]
    return not days or min(days) >= NOW // DAY - config.new_days


def check_list(items: list[int], history: list[tuple[int, int]], facts: ItemFacts, rules: ListRules, k: int) -> None:
    """Every rule, one by one, in plain Python."""
    config = rules.config
    assert len(set(items)) == len(items) <= k
    for bit, rule in enumerate(BARRING):
        if rule in config.active:
            assert not any(facts.barred[item] >> bit & 1 for item in items)
    last = {item: min(days for other, days in history if other == item) for item, _ in history}
    for item in set(items) & last.keys():
        if config.own_items_after_days is not None:
            assert last[item] >= config.own_items_after_days
        else:
            assert not rules.exclude_own_items
    for most, values in ((config.max_per_brand, facts.brand), (config.max_per_category, facts.category)):
        if most is not None:
            found = Counter(int(values[item]) for item in items if values[item] > 0)
            assert all(count <= most for count in found.values())
    num_head = sum(bool(facts.train_count[item] > config.long_tail_events) for item in items)
    assert num_head <= k - config.min_long_tail
    assert sum(not is_new(facts, item, config) for item in items) <= k - config.min_new


@given(rule_settings, histories, st.booleans(), st.integers(1, 6), st.integers(0, 1_000))
@settings(max_examples=300, deadline=None)
def test_no_list_breaks_a_rule(keys, rows, exclude_own_items, k, seed):
    config = RulesConfig(**keys, vectors_run="any" if keys["diversity"] else None)
    config = replace(config, min_long_tail=min(k, config.min_long_tail), min_new=min(k, config.min_new))
    facts = facts_of(seed % 7)
    rules = ListRules(config, exclude_own_items, facts)
    candidates, scores = scored(seed, len(rows), 20)
    counted: Counter[str] = Counter()

    chosen = rules.choose(histories_of(rows), candidates, scores, k, counted)

    lengths = (chosen.items > 0).sum(axis=1)
    for row, history in enumerate(rows):
        items = chosen.items[row, : lengths[row]].tolist()
        assert not chosen.items[row, lengths[row] :].any()
        assert set(items) <= set(candidates.items[row].tolist())
        check_list(items, history, facts, rules, k)
    assert counted["empty_lists"] == (lengths == 0).sum()
    assert counted["short_lists"] == ((lengths > 0) & (lengths < k)).sum()


def by_loop(rules: ListRules, history: list[tuple[int, int]], order: list[int], k: int) -> list[int]:
    """The first item of `order` that can be added without breaking a rule, again and again."""
    found: list[int] = []
    for item in order:
        try:
            check_list([*found, item], history, rules.facts, rules, k)
        except AssertionError:
            continue
        found.append(item)
    return found


@given(rule_settings, histories, st.booleans(), st.integers(1, 6), st.integers(0, 1_000))
@settings(max_examples=150, deadline=None)
def test_of_the_items_that_keep_the_rules_a_list_holds_those_of_the_best_scores(keys, rows, exclude_own, k, seed):
    config = RulesConfig(**{**keys, "diversity": 0.0})
    config = replace(config, min_long_tail=min(k, config.min_long_tail), min_new=min(k, config.min_new))
    rules = ListRules(config, exclude_own, facts_of(seed % 7))
    candidates, scores = scored(seed, len(rows), 20)

    chosen = rules.choose(histories_of(rows), candidates, scores, k, Counter())

    for row, history in enumerate(rows):
        places = sorted(np.flatnonzero(candidates.items[row]), key=lambda place: -scores[row, place])
        order = [int(candidates.items[row, place]) for place in places]
        assert chosen.items[row][chosen.items[row] > 0].tolist() == by_loop(rules, history, order, k)


def plain_facts(**given) -> ItemFacts:
    values = {
        "barred": np.zeros(NUM_ITEMS + 1, np.uint8),
        "brand": np.zeros(NUM_ITEMS + 1, np.int32),
        "category": np.zeros(NUM_ITEMS + 1, np.int32),
        "train_count": np.full(NUM_ITEMS + 1, 50),
    }
    return ItemFacts(**{**values, **given})


def choose(rules: ListRules, row: list[int], k: int, counted: Counter | None = None, history=()) -> list[int]:
    candidates = Candidates(np.array([row], np.int32), np.zeros((1, len(row)), np.int8))
    scores = np.arange(len(row), 0, -1, dtype=np.float32)[None]
    found = rules.choose(
        histories_of([list(history)]), candidates, scores, k, Counter() if counted is None else counted
    )
    return found.items[0][found.items[0] > 0].tolist()


def test_places_of_the_long_tail_stay_free_where_no_candidate_is_of_it():
    train_count = np.full(NUM_ITEMS + 1, 50)
    train_count[[7, 8]] = 3
    rules = ListRules(RulesConfig(min_long_tail=2), True, plain_facts(train_count=train_count))

    assert choose(rules, [1, 2, 3, 4, 7, 5, 8], k=4) == [1, 2, 7, 8]
    assert choose(rules, [1, 2, 3, 4, 7], k=4) == [1, 2, 7]
    assert choose(rules, [1, 2, 3, 4], k=4) == [1, 2]


def test_what_each_rule_takes_out_is_counted():
    brand = np.zeros(NUM_ITEMS + 1, np.int32)
    brand[[2, 3, 4]] = 9
    barred = np.zeros(NUM_ITEMS + 1, np.uint8)
    barred[1] = 1 << BARRING.index("in stock")
    rules = ListRules(RulesConfig(in_stock="c", max_per_brand=1), True, plain_facts(brand=brand, barred=barred))
    counted: Counter[str] = Counter()

    assert choose(rules, [1, 2, 3, 4, 5, 6], 3, counted) == [2, 5, 6]
    assert counted == {"removed by in stock": 1, "removed by brand": 2, "short_lists": 0, "empty_lists": 0}


def test_nobody_left_is_an_empty_list_and_no_error():
    rules = ListRules(RulesConfig(in_stock="c"), True, plain_facts(barred=np.full(NUM_ITEMS + 1, 4, np.uint8)))
    counted: Counter[str] = Counter()

    assert choose(rules, [1, 2, 3], 3, counted) == []
    assert counted["empty_lists"] == 1
    assert choose(rules, [], 3) == []


def test_own_items_come_back_after_so_many_days():
    rules = ListRules(RulesConfig(own_items_after_days=30), True, plain_facts())

    assert choose(rules, [1, 2, 3, 4], 4, history=[(1, 29), (2, 30), (3, 90), (3, 5)]) == [2, 4]


def test_diversity_takes_the_unlike_before_the_alike():
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 2]]  # Items 1 to 3 are the same.
    facts = plain_facts(vectors=vectors)

    assert choose(ListRules(RulesConfig(), True, facts), [1, 2, 3, 4, 5], 3) == [1, 2, 3]
    diverse = RulesConfig(diversity=0.9, vectors_run="any")
    assert choose(ListRules(diverse, True, facts), [1, 2, 3, 4, 5], 4) == [1, 4, 5, 2]
    assert choose(ListRules(replace(diverse, diversity=1e-6), True, facts), [1, 2, 3, 4, 5], 3) == [1, 2, 3]


def test_a_rule_alone_keeps_its_own_keys():
    config = RulesConfig(max_per_brand=2, min_new=1, new_days=7, in_stock="c")

    assert config.active == ("in stock", "brand", "new")
    assert config.only("new").active == ("new",)
    assert config.only("new").new_days == 7
    assert config.only(None).active == ()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"max_per_brand": 0}, "max_per_brand is 0: give at least 1"),
        ({"min_price": 5.0, "max_price": 2.0}, "min_price is 5.0 and max_price 2.0: give a range"),
        ({"diversity": 0.5}, "diversity is 0.5, but vectors_run is not set: name a run with an index"),
        ({"diversity": 1.5, "vectors_run": "a"}, "diversity is 1.5: give a number from 0 to 1"),
        ({"min_new": -1}, "min_new is -1: give at least 0"),
    ],
)
def test_rules_that_cannot_be_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        RulesConfig(**keys)
