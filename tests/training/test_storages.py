"""Training on an S3-compatible server, and on a mount that takes files only whole: one worker, cut off and gone on.

Skipped where moto's server (tests/core/object_store.py) or FUSE (tests/core/strict_mount.py) is missing.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqrec.core.errors import TrainingError
from seqrec.core.storage import Storage
from seqrec.training.reporting.reporter import Reporter
from seqrec.training.stage import run_train
from tests.core.object_store import BUCKET, environment_of, object_store
from tests.core.strict_mount import strict_mount
from tests.feed.prepared_data import write_prepared
from tests.training.small_runs import SEED, small_model, small_training

pytestmark = pytest.mark.slow


@pytest.fixture(params=["object store", "mount"])
def other(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """The toy data on the other storage."""
    plain, _ = write_prepared(tmp_path / "plain")
    if request.param == "mount":
        with strict_mount(tmp_path) as mount:
            yield _copied(plain, Storage(str(mount / "work")))
    else:
        with object_store() as url:
            for name, value in environment_of(url).items():
                monkeypatch.setenv(name, value)
            yield _copied(plain, Storage(f"s3a://{BUCKET}/work"))


def _copied(source: Storage, target: Storage) -> Storage:
    for file in source.list_files(""):
        target.write_bytes(file.path, source.read_bytes(file.path))
    return target


def test_training_goes_on_and_ends_with_the_weights_of_a_local_disk(
    other: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small_training(checkpoint_every_steps=3)
    on_disk = run_train(Storage(str(tmp_path / "plain")), "toy", "run", small_model(), settings, SEED, False)

    with monkeypatch.context() as broken:
        broken.setattr(Reporter, "epoch", _cut_off)
        with pytest.raises(TrainingError, match="cut off"):
            run_train(other, "toy", "run", small_model(), settings, SEED, False)
    left = [file.path for file in other.list_files("runs/run") if "/step-" in file.path]
    made = run_train(other, "toy", "run", small_model(), settings, SEED, False)

    assert left
    weights = [other.read_bytes(f"runs/run/{made.id}/weights.npz")]
    weights.append((tmp_path / "plain" / "runs" / "run" / on_disk.id / "weights.npz").read_bytes())
    assert hashlib.sha256(weights[0]).hexdigest() == hashlib.sha256(weights[1]).hexdigest()
    names = {file.path.rpartition("/")[2].partition(".")[0] for file in other.list_files(f"runs/run/{made.id}")}
    assert {"best", "weights", "history", "config", "events"} <= names


def _cut_off(*_: object) -> None:
    raise TrainingError("cut off")
