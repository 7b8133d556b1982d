"""Checkpoints: all variables and where training stands, written to scratch first and only then published.

`<attempt>/checkpoints/step-00001200.npz` holds the variables. The `.json` beside it, written last, holds the state of
training and the size of the `.npz`. A checkpoint whose `.json` is missing, or states another size, does not count.
"""

import dataclasses
import json
import tempfile
import warnings
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from seqrec.core.errors import DataError, StorageError
from seqrec.core.storage import Storage, scratch_folder
from seqrec.models.weights import load_variables, save_variables
from seqrec.scoring.run_files import WEIGHTS
from seqrec.training.job import TrainingState


class Checkpoints:
    """The checkpoints of one attempt, and its best weights. Only worker 0 writes them."""

    def __init__(self, storage: Storage, attempt_path: str, keep_last: int, scratch: str | None = None):
        self._storage = storage
        self.path = f"{attempt_path}/checkpoints"
        self._attempt_path = attempt_path
        self._keep_last = keep_last
        self._scratch = scratch

    def save(self, variables: Mapping[str, tf.Variable], state: TrainingState) -> None:
        """Publishes a checkpoint, then deletes all but the newest `keep_last` up to it.

        Checkpoints of later steps are deleted too: training is behind them because they could not be read.

        Raises:
            StorageError: no space or no permission; earlier checkpoints stay as they are.
        """
        name = f"{self.path}/step-{state.global_step:08d}"
        self._publish(variables, name, dataclasses.asdict(state))
        names = self._names()
        kept = [each for each in names if each <= name][-self._keep_last :]
        for old in set(names) - set(kept):
            # First the .json, which promises that the .npz is there.
            self._storage.delete(f"{old}.json")
            self._storage.delete(f"{old}.npz")

    def save_best(self, variables: Mapping[str, tf.Variable], state: TrainingState) -> None:
        """Publishes the model's variables as the best so far."""
        self._publish(variables, f"{self.path}/best", {"epoch": state.best_epoch, "value": state.best_value})

    def restore(self, variables: Mapping[str, tf.Variable]) -> TrainingState | None:
        """Loads the newest readable checkpoint and warns about unreadable ones; None if there are no checkpoints.

        Raises:
            DataError: there are checkpoints, but none can be read. Variables may then be partly loaded.
        """
        for name, state in self._whole():
            try:
                self._load(variables, f"{name}.npz")
                return state
            except DataError as error:
                warnings.warn(f"{error} Trying an older checkpoint.", stacklevel=2)
        names = self._names()
        if names:
            steps = ", ".join(name.rpartition("/")[2] for name in names)
            raise DataError(
                f"{self._storage.uri(self.path)}: none of the checkpoints there can be read ({steps}). Delete this "
                "folder to train the lost epochs again, or set training.resume=never to start over."
            )
        unfinished = [file.path for file in self._storage.list_files(self.path) if "/step-" in file.path]
        if unfinished:
            warnings.warn(
                f"{self._storage.uri(max(unfinished))}: no .json beside it, so this checkpoint was not finished, and "
                "there is no other one: training starts over.",
                stacklevel=2,
            )
        return None

    def publish_best(self) -> str:
        """Copies the best weights to `weights.npz` of the attempt; returns that path."""
        path = f"{self._attempt_path}/{WEIGHTS}"
        with scratch_folder(self._scratch) as folder:
            local = folder / WEIGHTS
            self._storage.download(f"{self.path}/best.npz", local)
            self._storage.upload(local, path)
        return path

    def adopt(self, other: "Checkpoints", variables: Mapping[str, tf.Variable]) -> TrainingState | None:
        """Resumes another attempt: loads its newest checkpoint that can be read, and takes over its best weights.

        Its checkpoint is not copied: until this attempt has one of its own, the other one can be resumed again.

        Raises:
            DataError: as `restore` raises it for the other attempt.
        """
        state = other.restore(variables)
        if state is not None:
            for file in ("best.npz", "best.json"):
                with scratch_folder(self._scratch) as folder:
                    other._storage.download(f"{other.path}/{file}", folder / file)
                    self._storage.upload(folder / file, f"{self.path}/{file}")
        return state

    def _publish(self, variables: Mapping[str, tf.Variable], name: str, content: dict[str, Any]) -> None:
        try:
            with scratch_folder(self._scratch) as folder:
                local = folder / "variables.npz"
                save_variables(variables, local)
                size = local.stat().st_size
                # A step may be saved twice, on its own and as an epoch's last. Its variables are the same both times
                # and have the size that the older `.json` states, so that file stays until the new one replaces it.
                self._storage.upload(local, f"{name}.npz")
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(
                f"{self._scratch or tempfile.gettempdir()}: cannot write a checkpoint: {error.strerror}. "
                "Free some space or set training.scratch."
            ) from error
        self._storage.write_bytes(f"{name}.json", json.dumps({"size": size, **content}).encode())

    def _whole(self) -> Any:
        """(name, state) of the checkpoints whose file has the size that their `.json` states, newest first."""
        sizes = {file.path: file.size for file in self._storage.list_files(self.path)}
        for name in reversed(self._names()):
            try:
                content = json.loads(self._storage.read_bytes(f"{name}.json"))
                size = content.pop("size")
                state = TrainingState(**content)
            except (ValueError, KeyError, TypeError):
                warnings.warn(
                    f"{self._storage.uri(name)}.json: cut short, so this checkpoint is skipped.",
                    stacklevel=2,
                )
                continue
            if sizes.get(f"{name}.npz") != size:
                found = sizes.get(f"{name}.npz", "no")
                warnings.warn(
                    f"{self._storage.uri(name)}.npz: {found} bytes instead of {size}, so this checkpoint is skipped.",
                    stacklevel=2,
                )
                continue
            yield name, state

    def _names(self) -> list[str]:
        """Names of published checkpoints, oldest first."""
        files = (file.path for file in self._storage.list_files(self.path))
        return sorted(p.removesuffix(".json") for p in files if "/step-" in p and p.endswith(".json"))

    def _load(self, variables: Mapping[str, tf.Variable], path: str) -> None:
        local = self._storage.local(path)
        if local is not None:
            load_variables(variables, local)
            return
        with scratch_folder(self._scratch) as folder:
            self._storage.download(path, folder / "variables.npz")
            load_variables(variables, folder / "variables.npz")
