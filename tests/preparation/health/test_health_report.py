"""What is warned of: an order of ties that gives targets away, by whichever figure shows it."""

from typing import Any

import pytest

from seqrec.preparation.health.health_report import warnings_of


def health(
    auc: float | None = 0.5, higher: float | None = 0.5, tied: float | None = 0.4, **steps: int
) -> dict[str, Any]:
    return {
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
    assert warning.endswith("Use preparation.tie_order: hash.")


def test_a_leak_is_told_once_by_the_auc_where_that_shows_it() -> None:
    [warning] = warnings_of(health(auc=0.68, higher=1.0))

    assert "reaches an AUC of 0.680" in warning


def test_events_that_the_vocabulary_does_not_know_are_reported() -> None:
    assert warnings_of(health(unknown_events=25)) == [
        "The run's vocabulary does not know the items of 2.5% of the events: they are left out."
    ]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_part_without_targets_is_reported(part: str) -> None:
    empty = health()
    empty["split"][part] = 0

    assert warnings_of(empty) == [f"There is no {part} target: nothing can be measured on that part."]
