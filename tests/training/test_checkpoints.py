import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.errors import DataError, StorageError
from seqrec.core.storage import Storage
from seqrec.training.checkpoints import Checkpoints
from seqrec.training.job import TrainingState

STEPS = (10, 20, 30)


def variables(value: float) -> dict[str, tf.Variable]:
    return {"table": tf.Variable(np.full((50, 3), value, np.float32)), "steps": tf.Variable(int(value), dtype=tf.int64)}


@pytest.fixture
def saved(storage: Storage) -> Checkpoints:
    checkpoints = Checkpoints(storage, "run", keep_last=2)
    for step in STEPS:
        checkpoints.save(variables(step), TrainingState(epoch=1, step=step, global_step=step, loss_sum=0.1 * step))
    return checkpoints


def path_of(storage: Storage, name: str) -> Path:
    path = storage.local(f"run/checkpoints/{name}")
    assert path is not None
    return path


def test_restore_loads_the_newest(saved: Checkpoints) -> None:
    target = variables(0)

    state = saved.restore(target)

    assert state == TrainingState(epoch=1, step=30, global_step=30, loss_sum=0.1 * 30)
    assert target["table"].numpy().tolist() == np.full((50, 3), 30.0).tolist()
    assert int(target["steps"]) == 30


def test_save_keeps_the_last_few(saved: Checkpoints, storage: Storage) -> None:
    names = sorted(file.path.rpartition("/")[2] for file in storage.list_files("run/checkpoints"))

    assert names == ["step-00000020.json", "step-00000020.npz", "step-00000030.json", "step-00000030.npz"]


def test_restore_of_nothing_is_none(storage: Storage) -> None:
    target = variables(7)

    assert Checkpoints(storage, "run", keep_last=2).restore(target) is None
    assert int(target["steps"]) == 7


def _cut_variables(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 40)


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[300] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "suffix", "warning"),
    [
        pytest.param(_cut_variables, "npz", "this checkpoint is skipped", id="cut off"),
        pytest.param(lambda path: path.unlink(), "npz", "this checkpoint is skipped", id="no variables"),
        pytest.param(_flip_a_bit, "npz", "Trying an older checkpoint", id="flipped bit"),
        pytest.param(lambda path: path.write_text('{"size": 1'), "json", "cut short", id="cut off state"),
    ],
)
def test_restore_skips_a_broken_checkpoint_with_a_warning(
    damage: object, suffix: str, warning: str, saved: Checkpoints, storage: Storage
) -> None:
    damage(path_of(storage, f"step-00000030.{suffix}"))  # type: ignore[operator]
    target = variables(0)

    with pytest.warns(UserWarning, match=warning):
        state = saved.restore(target)

    assert state is not None
    assert state.step == 20
    assert target["table"].numpy().tolist() == np.full((50, 3), 20.0).tolist()


@pytest.mark.filterwarnings("ignore:.*an older checkpoint|.*cut short")
@pytest.mark.parametrize(
    ("damage", "suffix"),
    [
        pytest.param(_flip_a_bit, "npz", id="flipped bits"),
        pytest.param(lambda path: path.write_text('{"size": 1'), "json", id="cut off states"),
    ],
)
def test_restore_refuses_when_there_are_only_broken_checkpoints(
    damage: object, suffix: str, saved: Checkpoints, storage: Storage
) -> None:
    for step in STEPS[1:]:
        damage(path_of(storage, f"step-000000{step}.{suffix}"))  # type: ignore[operator]

    with pytest.raises(DataError, match=r"/run/checkpoints: none .* \(step-00000020, step-00000030\). Delete this"):
        saved.restore(variables(0))


@pytest.mark.filterwarnings("ignore:.*Trying an older checkpoint")
def test_save_keeps_what_it_writes_and_not_a_broken_checkpoint_of_a_later_step(
    saved: Checkpoints, storage: Storage
) -> None:
    _flip_a_bit(path_of(storage, "step-00000030.npz"))
    going_on = Checkpoints(storage, "run", keep_last=1)
    state = going_on.restore(target := variables(0))
    assert state is not None

    state.global_step = 25
    going_on.save(target, state)

    names = sorted(file.path.rpartition("/")[2] for file in storage.list_files("run/checkpoints"))
    assert names == ["step-00000025.json", "step-00000025.npz"]


def test_restore_ignores_variables_that_were_never_published(saved: Checkpoints, storage: Storage) -> None:
    path_of(storage, "step-00000040.npz").write_bytes(b"half")

    state = saved.restore(variables(0))

    assert state is not None
    assert state.step == 30


def test_restore_warns_when_no_checkpoint_was_finished(storage: Storage) -> None:
    checkpoints = Checkpoints(storage, "run", keep_last=2)
    checkpoints.save(variables(10), TrainingState(global_step=10))
    path_of(storage, "step-00000010.json").unlink()

    with pytest.warns(UserWarning, match=r"step-00000010.npz: no .json beside it.*training starts over"):
        assert checkpoints.restore(variables(0)) is None


@pytest.mark.parametrize("broken", ["upload", "write_bytes"])
def test_saving_a_step_again_never_leaves_it_without_a_checkpoint(
    broken: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(storage, "run", keep_last=1)
    checkpoints.save(variables(10), TrainingState(step=10, global_step=10))

    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as context:
        context.setattr(storage, broken, full)
        with pytest.raises(StorageError, match="the disk is full"):
            checkpoints.save(variables(10), TrainingState(epoch=1, global_step=10))

    state = checkpoints.restore(target := variables(0))
    assert state == TrainingState(step=10, global_step=10)
    assert int(target["steps"]) == 10


def test_save_that_fails_leaves_the_earlier_checkpoints(
    saved: Checkpoints, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, path: str) -> None:
        raise StorageError(f"{path}: cannot write: the disk is full.")

    monkeypatch.setattr(storage, "upload", full)

    with pytest.raises(StorageError, match="the disk is full"):
        saved.save(variables(40), TrainingState(global_step=40))

    left = saved.restore(variables(0))
    assert left is not None
    assert left.global_step == 30


def test_publish_best_copies_the_best_weights(saved: Checkpoints, storage: Storage) -> None:
    saved.save_best(variables(20), TrainingState(best_epoch=2, best_value=0.7))

    path = saved.publish_best()

    local = storage.local(path)
    assert local is not None
    assert path == "run/weights.npz"
    assert np.load(local)["table"][0, 0] == 20.0
    assert json.loads(storage.read_bytes("run/checkpoints/best.json"))["value"] == 0.7


@pytest.mark.parametrize(
    ("metrics", "patience", "best_epoch", "stops_after"),
    [
        pytest.param([0.5, 0.6, 0.7], 1, 2, None, id="better and better"),
        pytest.param([0.5, 0.6, 0.6], 1, 1, 3, id="equal is not better"),
        pytest.param([0.5, 0.4, 0.3, 0.2], 2, 0, 3, id="two without a gain"),
        pytest.param([0.5, 0.4, 0.3, 0.2], 0, 0, None, id="never"),
        pytest.param([float("nan"), float("nan"), 0.5], 2, 2, None, id="any number is better than none"),
    ],
)
def test_end_epoch_finds_the_best_and_stops(
    metrics: list[float], patience: int, best_epoch: int, stops_after: int | None
) -> None:
    state = TrainingState()
    stopped = None
    for epoch, metric in enumerate(metrics, start=1):
        state.end_epoch({"epoch": epoch}, metric, patience)
        stopped = stopped or (epoch if state.stopped_early else None)

    assert state.best_epoch == best_epoch
    assert stopped == stops_after
    assert [row["epoch"] for row in state.history] == list(range(1, len(metrics) + 1))
