"""What is warned of: an order of ties that gives targets away, by whichever figure shows it."""

from typing import Any

import pytest

from seqrec.preparation.health.health_report import warnings_of


def health(
    auc: float | None = 0.5,
    higher: float | None = 0.5,
    tied: float | None = 0.4,
    *,
    tie_order: str = "item_id",
    sampling: str = "popularity",
    by_age: float | None = 0.5,
    **steps: int,
) -> dict[str, Any]:
    return {
        "settings": {"tie_order": tie_order, "negative_sampling": sampling},
        "group_auc_of_ranking_by_item_id": auc,
        "part_of_it_that_the_order_of_same_day_events_explains": 0.15,
        "part_of_it_that_the_age_of_items_explains": 0.09,
        "group_auc_of_ranking_by_the_first_day_of_items": by_age,
        "auc_of_ranking_by_item_id": auc,
        "share_of_same_day_pairs_with_the_higher_id_as_target": higher,
        "share_of_test_targets_on_the_day_of_the_last_history_event": tied,
        "split": {"validation": 100, "test": 100},
        "steps": {"events": 1_000, **steps},
    }


@pytest.mark.parametrize(
    "harmless",
    [
        health(),
        health(auc=None, higher=None, tied=None),
        health(higher=0.85),
        health(higher=1.0, tied=0.29),  # 29 targets: chance may do that.
    ],
    ids=["even", "no targets", "a little one-sided", "few tied targets"],
)
def test_nothing_is_said_where_chance_explains_it(harmless: dict[str, Any]) -> None:
    assert warnings_of(harmless) == []


@pytest.mark.parametrize(("higher", "shown"), [(0.97, "97%"), (0.02, "2%")])
def test_an_order_by_id_is_found_where_the_auc_hides_it(higher: float, shown: str) -> None:
    [warning] = warnings_of(health(auc=0.45, higher=higher))

    assert f"its id is the higher one in {shown}: the order of ties gives the target away" in warning
    assert warning.endswith("Set preparation.tie_order=hash.")


def test_a_leak_is_told_once_by_the_auc_where_that_shows_it() -> None:
    [warning] = warnings_of(health(auc=0.68, higher=1.0))

    assert "reaches an AUC of 0.680; the order of same-day events explains 0.150 of it: the order of ties" in warning


def test_a_drift_of_the_catalogue_is_told_from_a_leak_of_ties() -> None:
    drifting = health(auc=0.6, by_age=0.8, tie_order="hash")
    drifting["split"]["test"] = 400
    [warning] = warnings_of(drifting)

    assert warning.startswith("Targets are newer than their negatives: preferring items whose first event is later")
    assert "an AUC of 0.800, and explains 0.090 of the 0.600 that item ids reach" in warning
    assert "Set preparation.negative_sampling=popularity_at_time to" in warning
    # Both at once, and none where the advice was followed or where so few targets may do that by chance.
    assert len(warnings_of(health(auc=0.68, by_age=0.8))) == 2
    assert warnings_of(health(by_age=0.8, sampling="popularity_at_time", tie_order="hash")) == []
    drifting["split"]["test"] = 8
    assert warnings_of(drifting) == []


def test_an_order_of_ids_that_ties_do_not_explain_is_no_leak() -> None:
    assert warnings_of(health(auc=0.6, tie_order="hash")) == []


def test_events_that_the_vocabulary_does_not_know_are_reported() -> None:
    assert warnings_of(health(unknown_events=25)) == [
        "The run's vocabulary does not know the items of 2.5% of the events: they are left out."
    ]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_part_without_targets_is_reported(part: str) -> None:
    empty = health()
    empty["split"][part] = 0

    assert warnings_of(empty) == [f"There is no {part} target: nothing can be measured on that part."]
