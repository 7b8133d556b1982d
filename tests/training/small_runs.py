"""Settings of runs that take seconds, and what tests ask of a finished one."""

import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig

SEED = 3


def small_model(**changes: Any) -> ModelConfig:
    values = {
        "max_history_length": 8,
        "item_dim": 8,
        "category_dim": 4,
        "layer_sizes": (16, 8),
        **changes,
    }
    return ModelConfig(**values)


def small_training(**changes: Any) -> TrainingConfig:
    values = {
        "num_epochs": 2,
        "global_batch_size": 80,
        "num_streams": 4,
        "files_per_group": 1,
        "num_threads": 1,
        "patience": 0,
        "log_every_steps": 5,
        **changes,
    }
    return TrainingConfig(**values)


def arrays(storage: Storage, path: str) -> dict[str, np.ndarray]:
    """The variables in an .npz below the workdir."""
    local = storage.local(path)
    assert local is not None
    with np.load(local) as stored:
        return {name: stored[name] for name in stored.files}


def newest_checkpoint(storage: Storage, manifest: Manifest) -> dict[str, np.ndarray]:
    """All variables of a run's last checkpoint, optimizer slots included."""
    folder = f"runs/{manifest.name}/{manifest.id}/checkpoints"
    paths = [f.path for f in storage.list_files(folder) if "/step-" in f.path and f.path.endswith(".npz")]
    return arrays(storage, max(paths))


def checkpoint_of_step(storage: Storage, manifest: Manifest, step: int) -> dict[str, np.ndarray]:
    """All variables as they were after a step, of a run that saved them then."""
    return arrays(storage, f"runs/{manifest.name}/{manifest.id}/checkpoints/step-{step:08d}.npz")


def damage(storage: Storage, manifest: Manifest, step: int) -> None:
    """Flips a bit of a checkpoint where it shows late: in the last of the variables that are read in several parts."""
    path = storage.local(f"runs/{manifest.name}/{manifest.id}/checkpoints/step-{step:08d}.npz")
    assert path is not None
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        ends = [*(member.header_offset for member in members[1:]), archive.start_dir]
    end = max(end for member, end in zip(members, ends, strict=True) if member.file_size > 10_000)
    content = bytearray(path.read_bytes())
    content[end - 1] ^= 1
    path.write_bytes(content)


def differing(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> list[str]:
    """Names of arrays that are not equal bit for bit."""
    assert list(one) == list(other)
    return [name for name in one if one[name].tobytes() != other[name].tobytes()]


def counting(
    count: Callable[[Any, Any, int], bool], num_steps: int, happen: Callable[[Any], None]
) -> Callable[[Any, Any, int], bool]:
    """The loop's `_end_step`, after which `happen(trainer)` is called once, when `num_steps` steps are done."""
    done = []

    def and_then(trainer: Any, outcome: Any, steps: int) -> bool:
        stops = count(trainer, outcome, steps)
        done.append(1)
        if len(done) == num_steps:
            happen(trainer)
        return stops

    return and_then


def ask_to_stop(trainer: Any) -> None:
    """What SIGTERM does: the next step is the last."""
    trainer.stop_requested = lambda: True
