import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from seqrec.core.errors import ConfigError, DataError, StorageError, TrainingError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.feed.config import FeedConfig
from seqrec.training.objectives.config import LossConfig
from seqrec.training.optimizer_config import OptimizerConfig
from seqrec.training.stage import run_train
from tests.feed.prepared_data import write_prepared
from tests.training.small_runs import (
    SEED,
    arrays,
    ask_to_stop,
    counting,
    damage,
    differing,
    newest_checkpoint,
    small_model,
    small_training,
)

Train = Callable[..., Manifest]


def test_run_train_learns_what_can_be_learnt(finished: Manifest) -> None:
    assert finished.details["best"]["group_auc"] > 0.75


def test_run_train_learns_nothing_from_noise(tmp_path: Any) -> None:
    storage, _ = write_prepared(tmp_path, taste=0.0)

    manifest = run_train(storage, "toy", "noise", small_model(), small_training(num_epochs=2), SEED, False)

    assert abs(manifest.details["best"]["group_auc"] - 0.5) < 0.06


def test_run_train_publishes_the_best_weights(prepared: tuple[Storage, Manifest], finished: Manifest) -> None:
    storage = prepared[0]
    path = f"runs/finished/{finished.id}"

    weights = arrays(storage, f"{path}/weights.npz")

    rows = list(csv.DictReader(io.StringIO(storage.read_bytes(f"{path}/history.csv").decode())))
    best = max(rows, key=lambda row: float(row["group_auc"]))
    assert len(rows) == 4
    assert finished.details["best"]["epoch"] == int(best["epoch"])
    assert not differing(weights, arrays(storage, f"{path}/checkpoints/best.npz"))


def test_run_train_gives_the_same_bits_with_either_reader(
    prepared: tuple[Storage, Manifest], finished: Manifest
) -> None:
    reader = FeedConfig(reader="pyarrow")

    read = run_train(prepared[0], "toy", "by-pyarrow", small_model(), small_training(num_epochs=4), SEED, False, reader)

    assert read.content == finished.content
    assert not differing(newest_checkpoint(prepared[0], read), newest_checkpoint(prepared[0], finished))


def test_run_train_writes_what_describes_a_run(prepared: tuple[Storage, Manifest], finished: Manifest) -> None:
    storage = prepared[0]
    path = f"runs/finished/{finished.id}"

    config = yaml.safe_load(storage.read_bytes(f"{path}/config.yaml"))

    assert config["model"]["item_dim"] == 8
    assert config["training"]["global_batch_size"] == 80
    assert finished.table("vocabulary/items").rows == 60
    assert finished.details["num_trained_items"] == 60
    assert [f.path for f in storage.list_files(f"{path}/logs")]


def test_run_train_writes_scalars_for_tensorboard(prepared: tuple[Storage, Manifest], finished: Manifest) -> None:
    import tensorflow as tf

    names = {
        value.tag
        for file in prepared[0].list_files(f"runs/finished/{finished.id}/logs")
        for event in tf.compat.v1.train.summary_iterator(str(prepared[0].local(file.path)))
        for value in event.summary.value
    }

    assert {"train/loss", "train/gradient_norm", "train/bytes_sent_per_step", "epoch/group_auc"} <= names


def test_run_train_again_does_nothing(train: Train, finished: Manifest, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "seqrec")

    again = train(run="finished", num_epochs=4)

    assert again == finished
    assert "is up to date (4 epochs), skipped" in caplog.text


def test_run_train_is_the_same_each_time(train: Train, prepared: tuple[Storage, Manifest], finished: Manifest) -> None:
    again = train(num_epochs=4)

    assert not differing(newest_checkpoint(prepared[0], again), newest_checkpoint(prepared[0], finished))


def test_run_train_goes_on_from_a_finished_run(
    train: Train, prepared: tuple[Storage, Manifest], finished: Manifest
) -> None:
    train(num_epochs=1)

    longer = train(num_epochs=4)

    assert longer.details["epochs"] == 4
    assert not differing(newest_checkpoint(prepared[0], longer), newest_checkpoint(prepared[0], finished))
    assert longer.content == finished.content


@pytest.fixture(scope="module")
def of_wide_rows(prepared: tuple[Storage, Manifest]) -> Manifest:
    """A run of three epochs whose tables are large enough to be read in several parts."""
    return run_train(prepared[0], "toy", "wide", small_model(item_dim=64), small_training(num_epochs=3), SEED, False)


def test_run_train_goes_on_from_an_older_checkpoint_of_a_finished_run(
    train: Train, prepared: tuple[Storage, Manifest], of_wide_rows: Manifest
) -> None:
    shorter = train(num_epochs=2, model=small_model(item_dim=64))
    damage(prepared[0], shorter, 48)

    with pytest.warns(UserWarning, match="Trying an older checkpoint"):
        longer = train(num_epochs=3, model=small_model(item_dim=64))

    assert not differing(newest_checkpoint(prepared[0], longer), newest_checkpoint(prepared[0], of_wide_rows))
    assert longer.content == of_wide_rows.content


@pytest.mark.filterwarnings("ignore:.*Trying an older checkpoint")
def test_run_train_never_starts_over_from_half_loaded_weights(
    train: Train, prepared: tuple[Storage, Manifest], of_wide_rows: Manifest
) -> None:
    shorter = train(num_epochs=2, model=small_model(item_dim=64))
    for step in (24, 48):
        damage(prepared[0], shorter, step)

    with pytest.raises(DataError, match=r"none of the checkpoints there can be read .*training.resume=never"):
        train(num_epochs=3, model=small_model(item_dim=64))

    over = train(num_epochs=3, model=small_model(item_dim=64), resume="never")
    assert over.content == of_wide_rows.content


def test_run_train_goes_on_when_it_was_cut_off_while_taking_over_a_finished_run(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is learned, so no later epoch is better, and the best weights stay the first ones.
    still = {"optimizer": OptimizerConfig(learning_rate=1e-30), "model": small_model(batch_norm=False)}
    shorter = train(num_epochs=1, **still)
    upload = Storage.upload

    def cut_off(storage: Storage, source: Any, path: str) -> None:
        if path.endswith("/best.npz"):
            raise StorageError("cut off")
        upload(storage, source, path)

    with monkeypatch.context() as broken:
        broken.setattr(Storage, "upload", cut_off)
        with pytest.raises(StorageError, match="cut off"):
            train(num_epochs=2, **still)

    longer = train(num_epochs=2, **still)

    assert longer.details["best"]["epoch"] == 1
    assert longer.content == shorter.content


def test_run_train_makes_the_scratch_folder_on_every_machine(train: Train, tmp_path: Any) -> None:
    train(num_epochs=1, scratch=str(tmp_path / "one machine"))

    longer = train(num_epochs=2, scratch=str(tmp_path / "another" / "machine"))

    assert longer.details["epochs"] == 2


def test_run_train_goes_on_in_mid_epoch(
    train: Train, prepared: tuple[Storage, Manifest], finished: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stop_after(monkeypatch, 37)
    with pytest.raises(TrainingError, match="Stopped after step 13 of epoch 2"):
        train(num_epochs=4)
    monkeypatch.undo()

    resumed = train(num_epochs=4)

    assert not differing(newest_checkpoint(prepared[0], resumed), newest_checkpoint(prepared[0], finished))
    assert [row["loss"] for row in _history(prepared[0], resumed)] == [
        row["loss"] for row in _history(prepared[0], finished)
    ]


def test_run_train_tells_of_the_last_epoch_even_if_it_was_cut_off_right_after_saving_it(
    train: Train, prepared: tuple[Storage, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqrec.training.reporting.tensorboard import ScalarLog

    publish, calls = ScalarLog.publish, []

    def cut_off(log: ScalarLog) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise StorageError("cut off")
        publish(log)

    with monkeypatch.context() as broken:
        broken.setattr(ScalarLog, "publish", cut_off)
        with pytest.raises(StorageError, match="cut off"):
            train()

    manifest = train()

    assert [row["epoch"] for row in _history(prepared[0], manifest)] == ["1", "2"]


def test_run_train_refuses_to_go_on_with_other_settings(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    _stop_after(monkeypatch, 5)
    with pytest.raises(TrainingError, match="Stopped"):
        train()
    monkeypatch.undo()

    with pytest.raises(TrainingError, match=r"training.loss.num_negatives was 4, now 3.*training.resume=never"):
        train(loss=LossConfig(num_negatives=3))
    with pytest.raises(TrainingError, match=r"model.item_dim was 8, now 16"):
        train(model=small_model(item_dim=16))


def test_run_train_starts_over_when_told_to(
    train: Train, prepared: tuple[Storage, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    _stop_after(monkeypatch, 5)
    with pytest.raises(TrainingError, match="Stopped"):
        train()
    monkeypatch.undo()

    manifest = train(loss=LossConfig(num_negatives=3), resume="never", num_epochs=1)

    assert manifest.details["epochs"] == 1


def test_run_train_refuses_to_go_on_with_another_vocabulary(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    storage, _ = write_prepared(tmp_path, num_users=150)
    _stop_after(monkeypatch, 2)
    with pytest.raises(TrainingError, match="Stopped"):
        run_train(storage, "toy", "r", small_model(), small_training(), SEED, False)
    monkeypatch.undo()
    write_prepared(tmp_path, num_users=150, num_items=70, seed=2)

    with pytest.raises(TrainingError, match="the content of vocabulary was .*, now"):
        run_train(storage, "toy", "r", small_model(), small_training(), SEED, False)


def test_run_train_refuses_to_go_on_with_the_same_rows_in_other_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    storage, manifest = write_prepared(tmp_path, num_users=150)
    _stop_after(monkeypatch, 2)
    with pytest.raises(TrainingError, match="Stopped"):
        run_train(storage, "toy", "r", small_model(), small_training(), SEED, False)
    monkeypatch.undo()
    table = "sequences/train"
    # What the preparation states is a sum over the rows, and so the same however they lie in files.
    again = write_prepared(tmp_path, num_users=150, num_files=4)[1].to_json()
    other, same = (json.loads(text)["tables"][table]["content"] for text in (again, manifest.to_json()))
    again = again.replace(other, same).replace(json.loads(again)["content"], manifest.content)
    storage.write_bytes("prepared/toy/_manifest.json", again.encode())

    with pytest.raises(
        TrainingError, match=r"the training data was cut into other files \(preparation.num_streams_max"
    ):
        run_train(storage, "toy", "r", small_model(), small_training(), SEED, False)


def test_run_train_stops_early(train: Train) -> None:
    manifest = train(num_epochs=50, patience=1, optimizer=OptimizerConfig(learning_rate=0.05))

    assert manifest.details["stopped_early"]
    assert manifest.details["epochs"] < 50


def test_run_train_stops_at_a_loss_that_is_no_number(train: Train) -> None:
    with pytest.raises(TrainingError, match=r"The loss is .*nan between steps \d+ and \d+: lower"):
        train(optimizer=OptimizerConfig(learning_rate=1e30), num_epochs=4, model=small_model(batch_norm=False))


def test_run_train_dry_run_shows_the_plan_and_writes_nothing(
    train: Train, prepared: tuple[Storage, Manifest], capsys: pytest.CaptureFixture
) -> None:
    train(run="dry", dry_run=True)

    assert "steps of 80 examples (4 streams x 20)" in capsys.readouterr().out
    assert not prepared[0].exists("runs/dry")


def test_run_train_refuses_what_does_not_divide_before_it_writes(
    train: Train, prepared: tuple[Storage, Manifest]
) -> None:
    with pytest.raises(
        ConfigError,
        match="num_streams=3 does not divide the 8 train files; .* not a multiple of 3 streams: "
        "set training.num_streams=2",
    ):
        train(run="wrong", num_streams=3)

    assert not prepared[0].exists("runs/wrong")


def test_run_train_copies_the_vocabulary_by_way_of_its_scratch(
    train: Train, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Any, *_: Any, **__: Any) -> None:
        assert str(path).startswith(str(tmp_path / "scratch"))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seqrec.events.vocabulary.pq.ParquetWriter", full)

    with pytest.raises(StorageError, match=r"cannot copy the vocabulary by way of .*/scratch: No space left on device"):
        train(scratch=str(tmp_path / "scratch"))


def test_run_train_names_the_job_to_run_first(storage: Storage) -> None:
    with pytest.raises(DataError, match="Run the job 'prepare' first"):
        run_train(storage, "nothing", "r", small_model(), small_training(), SEED, False)


def _stop_after(monkeypatch: pytest.MonkeyPatch, num_steps: int) -> None:
    """Asks training to stop once it has done `num_steps` steps, as SIGTERM does."""
    from seqrec.training import loop

    monkeypatch.setattr(loop, "_end_step", counting(loop._end_step, num_steps - 1, ask_to_stop))


def _history(storage: Storage, manifest: Manifest) -> list[dict[str, str]]:
    path = f"{Dataset(storage, 'runs', manifest.name).path}/{manifest.id}/history.csv"
    return list(csv.DictReader(io.StringIO(storage.read_bytes(path).decode())))
