"""The learning rate: its values, what is refused, and that a resumed run has that of one without a break."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seqrec.core.errors import ConfigError, TrainingError
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.training import loop
from seqrec.training.learning_rate import LearningRate, full_rate, num_cuts, plan_learning_rate
from seqrec.training.optimizer_config import OptimizerConfig
from tests.training.small_runs import ask_to_stop, counting, differing, newest_checkpoint, small_training

Train = Callable[..., Manifest]

STEPS = [10, 12, 10, 8]  # Steps of four epochs; they differ, as in real plans.
COSINE = {"schedule": "cosine", "final_share": 0.1}
PLATEAU = {"schedule": "plateau", "plateau_factor": 0.5, "final_share": 0.2}


def planned(optimizer: dict[str, Any] | None = None, **changes: Any) -> LearningRate:
    config = small_training(num_epochs=len(STEPS), optimizer=OptimizerConfig(**optimizer or {}), **changes)
    return plan_learning_rate(config, STEPS.__getitem__)


def shares(rate: LearningRate, history: tuple[float, ...] = ()) -> list[float]:
    return [rate.share(step, history) for step in range(sum(STEPS))]


@pytest.mark.parametrize(
    ("warmup", "num_steps"),
    [
        pytest.param({}, 0, id="none"),
        pytest.param({"warmup_steps": 4}, 4, id="in steps"),
        pytest.param({"warmup_steps": 40}, 40, id="all of training"),
        pytest.param({"warmup_epochs": 1.0}, 10, id="one epoch"),
        pytest.param({"warmup_epochs": 1.5}, 16, id="one epoch and half of the second"),
        pytest.param({"warmup_epochs": 4.0}, 40, id="all epochs"),
    ],
)
def test_warm_up_is_linear_and_then_over(warmup: dict[str, Any], num_steps: int) -> None:
    found = shares(planned(**warmup))

    assert found[:num_steps] == pytest.approx([(step + 1) / num_steps for step in range(num_steps)], rel=1e-6)
    assert found[num_steps:] == [1.0] * (40 - num_steps)


def test_cosine_goes_from_the_warm_up_to_the_final_share_at_the_last_step() -> None:
    found = shares(planned(COSINE, warmup_epochs=1.0))

    assert found[:10] == shares(planned(warmup_epochs=1.0))[:10]
    assert found[9] == pytest.approx(1.0, rel=1e-6)
    assert found[24] == pytest.approx(0.1 + 0.9 / 2, rel=1e-6)  # Half way from step 10 to step 40.
    assert found[14] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 6)) / 2, rel=1e-6)
    assert found[39] == pytest.approx(0.1, rel=1e-6)
    assert (np.diff(found[9:]) < 0).all()


def test_every_share_is_a_float32() -> None:
    for found in (shares(planned(COSINE, warmup_steps=7)), shares(planned(PLATEAU), (0.1, 0.1))):
        assert found == [float(np.float32(share)) for share in found]


@pytest.mark.parametrize(
    ("history", "patience", "cuts"),
    [
        pytest.param((), 1, 0, id="no epoch yet"),
        pytest.param((0.1, 0.2, 0.3), 1, 0, id="always better"),
        pytest.param((0.3, 0.3), 1, 1, id="equal is not better"),
        pytest.param((0.3, 0.2, 0.1), 1, 2, id="each epoch"),
        pytest.param((0.3, 0.2, 0.1, 0.1), 2, 1, id="counted anew after a cut"),
        pytest.param((0.3, 0.2, 0.1, 0.1, 0.2), 2, 2, id="twice; the best stays"),
        pytest.param((0.3, 0.2, 0.4, 0.1), 2, 0, id="counted anew after a better one"),
        pytest.param((math.nan, 0.1, math.nan, 0.2), 1, 1, id="no number is worse than any"),
    ],
)
def test_plateau_counts_epochs_without_a_better_metric(history: tuple[float, ...], patience: int, cuts: int) -> None:
    assert num_cuts(history, patience) == cuts


def test_plateau_cuts_the_rate_down_to_the_final_share() -> None:
    rate = planned(PLATEAU, warmup_steps=4)

    found = [rate.share(20, (0.5,) + (0.1,) * worse) for worse in range(4)]

    assert found == pytest.approx([1.0, 0.5, 0.25, 0.2])
    assert rate.share(1, (0.5, 0.1)) == pytest.approx(0.25)  # Half of the warm-up, and one cut.


def test_the_full_rate_is_scaled_by_the_global_batch_alone() -> None:
    assert full_rate(small_training()) == 0.001
    assert full_rate(small_training(learning_rate_for_batch_size=40, num_workers=4)) == 0.002


@pytest.mark.parametrize(
    ("optimizer", "changes", "message"),
    [
        pytest.param({}, {"warmup_steps": 41}, "=41 but num_epochs=4 has 40 steps: the rate never", id="steps"),
        pytest.param({}, {"warmup_epochs": 4.5}, "warmup_epochs=4.5 but .* never reaches its full value", id="epochs"),
        pytest.param(COSINE, {"warmup_epochs": 4.0}, "=4.0 but .* no step is left for the cosine", id="cosine"),
    ],
)
def test_a_warm_up_longer_than_training_is_refused(
    optimizer: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(optimizer, **changes)


@pytest.mark.parametrize(
    ("optimizer", "changes", "line"),
    [
        pytest.param({}, {}, "learning rate: 0.001, constant", id="constant"),
        pytest.param({}, {"warmup_steps": 4}, "learning rate: up to 0.001 at step 4, then constant", id="warm-up"),
        pytest.param(COSINE, {}, "learning rate: 0.001, down a cosine to 0.0001 at step 40, the last", id="cosine"),
        pytest.param(
            PLATEAU,
            {"metric": "group_auc"},
            "learning rate: 0.001, times 0.5 after each epoch without a better group_auc, not below 0.0002",
            id="plateau",
        ),
    ],
)
def test_the_plan_says_what_the_rate_does(optimizer: dict[str, Any], changes: dict[str, Any], line: str) -> None:
    assert planned(optimizer, **changes).describe() == line


def test_a_dry_run_shows_the_schedule(train: Train, capsys: pytest.CaptureFixture) -> None:
    train(run="dry", dry_run=True, num_epochs=3, warmup_epochs=1.0, optimizer=OptimizerConfig(schedule="cosine"))

    assert "learning rate: up to 0.001 at step 24, then down a cosine to 0 at step 72" in capsys.readouterr().out


RESUMED = {
    "cosine": {"warmup_epochs": 1.0, "optimizer": OptimizerConfig(**COSINE)},
    # With so high a rate epochs are soon worse than the best.
    "plateau": {"warmup_steps": 5, "optimizer": OptimizerConfig(learning_rate=0.3, **PLATEAU)},
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_that_resumes_in_mid_epoch_has_the_rates_of_one_without_a_break(
    train: Train, prepared: tuple[Storage, Manifest], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rates: list[float] = []

    def noted(trainer: Any, outcome: Any, steps: int) -> bool:
        rates.append(float(outcome.learning_rate))
        return end_step(trainer, outcome, steps)

    end_step = loop._end_step
    monkeypatch.setattr(loop, "_end_step", noted)
    settings = {"num_epochs": 4, **RESUMED[name]}
    unbroken = train(run=f"unbroken-{name}", **settings)
    expected, rates[:] = list(rates), []
    with monkeypatch.context() as patched:
        patched.setattr(loop, "_end_step", counting(noted, 83, ask_to_stop))
        with pytest.raises(TrainingError, match="Stopped after step 12 of epoch 4"):
            train(**settings)

    resumed = train(**settings)

    assert len(set(expected[24:])) > 1  # The rate changes behind the warm-up, too.
    assert rates == expected
    assert not differing(newest_checkpoint(prepared[0], resumed), newest_checkpoint(prepared[0], unbroken))


def test_other_epochs_are_another_run_where_every_rate_depends_on_them(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    cosine = {"optimizer": OptimizerConfig(**COSINE)}
    with monkeypatch.context() as patched:
        patched.setattr(loop, "_end_step", counting(loop._end_step, 3, ask_to_stop))
        with pytest.raises(TrainingError, match="Stopped"):
            train(num_epochs=2, **cosine)

    with pytest.raises(TrainingError, match=r"other settings: training.num_epochs was 2, now 3\. Set these back"):
        train(num_epochs=3, **cosine)
