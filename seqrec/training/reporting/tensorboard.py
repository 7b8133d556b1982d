"""Scalars over the steps of a run, for TensorBoard."""

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack

import tensorflow as tf

from seqrec.core.storage import Storage, scratch_folder


class ScalarLog:
    """TensorBoard scalars. They are written locally and copied whole, because some mounts forbid appending.

    Each process of a run has a file of its own, so a resumed run adds to what is there.
    """

    def __init__(self, storage: Storage, path: str, scratch: str | None = None):
        self._storage = storage
        self._path = path
        self._open = ExitStack()
        self._folder = self._open.enter_context(scratch_folder(scratch))
        self._writer = tf.summary.create_file_writer(str(self._folder))
        self._name = f"{time.time_ns()}-{os.getpid()}"

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds scalars, by name."""
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)

    def publish(self) -> None:
        """Copies the log so far to the storage."""
        self._writer.flush()
        for number, file in enumerate(sorted(self._folder.glob("events.out.*"))):
            self._storage.upload(file, f"{self._path}/events.out.tfevents.{self._name}.{number}")

    def close(self) -> None:
        self.publish()
        self._writer.close()
        self._open.close()
