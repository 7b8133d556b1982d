"""Training batches: the share of every stream, step by step, from any step of any epoch.

What an example is, and how it is cut from a group's events, is left to subclasses: `windows.py` and `runs.py`.
Legend: S streams of this worker, B examples of a stream in a step, L padded history length.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np

from seqrec.core.manifest import FileEntry
from seqrec.core.storage import Storage
from seqrec.events.windows import Segments
from seqrec.feed.config import PETASTORM
from seqrec.feed.layout import Layout
from seqrec.feed.plan import EpochPlan, Group, example_permutation, plan_epoch
from seqrec.feed.reader import read_segments

Batch = TypeVar("Batch")
Arrays = tuple[np.ndarray, ...]  # The parts of B examples, each [B, ...].


class TrainingFeed(ABC, Generic[Batch]):
    """The training batches of one worker.

    Batch k of an epoch depends on the layout and (epoch, k) alone. So it can be made without the batches before it,
    and the streams of all workers together are the same whatever the number of workers.

    Args:
        files: the files of `sequences/train`.
        max_history_length: the most events that an example reads.
        num_runs: see `plan_epoch`.
        scratch: local folder for copies of remote files; the system's temporary folder if None.
        reader: see `FeedConfig`.
    """

    def __init__(
        self,
        storage: Storage,
        files: Sequence[FileEntry],
        layout: Layout,
        *,
        worker_rank: int,
        max_history_length: int,
        num_runs: Sequence[int] | None = None,
        scratch: str | None = None,
        reader: str = PETASTORM,
    ):
        self._storage = storage
        self._files = tuple(files)
        self._layout = layout
        self._max_history_length = max_history_length
        self._num_runs = num_runs
        self._scratch = scratch
        self._reader = reader
        self.stream_ids = layout.owned_streams(worker_rank)

    @abstractmethod
    def _lay_out(self, segments: Segments, files: Sequence[FileEntry]) -> tuple[Any, np.ndarray]:
        """The segments of a group, ready to be cut, and the numbers of their examples, int64 [number of examples].

        Args:
            files: the group's files, in the order of their segments.
        """

    @abstractmethod
    def _cut(self, events: Any, examples: np.ndarray) -> Arrays:
        """The parts of the examples numbered `examples`, int64 [B]."""

    @abstractmethod
    def _batch(self, arrays: Arrays) -> Batch:
        """The batch of a step, from the parts of all streams' examples, each [S, B, ...]."""

    def plan(self, epoch: int) -> EpochPlan:
        """The plan of an epoch: the same on every worker; raises as `plan_epoch`."""
        return plan_epoch(self._files, self._layout, epoch, self._num_runs)

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Batches `first_step`, `first_step` + 1, ... of an epoch, as NumPy arrays.

        Raises:
            DataError: a file is not what the manifest says (see `read_segments`).
        """
        plan = self.plan(epoch)
        # One thread reads ahead for all streams, as reading is far faster than training.
        with ThreadPoolExecutor(1, thread_name_prefix="feed-reader") as pool:
            streams = [self._stream(plan, stream, first_step, pool) for stream in self.stream_ids]
            try:
                for _ in range(first_step, plan.steps):
                    shares = [next(stream) for stream in streams]
                    yield self._batch(tuple(np.stack(parts) for parts in zip(*shares, strict=True)))
            finally:
                pool.shutdown(cancel_futures=True)

    def _stream(self, plan: EpochPlan, stream: int, first_step: int, pool: ThreadPoolExecutor) -> Iterator[Arrays]:
        """The shares of one stream, step by step.

        Examples before `first_step` are passed over by counting: groups that lie wholly before it are not read.
        """
        groups = list(plan.streams[stream])
        skipped = first_step * plan.share
        while groups and groups[0].examples <= skipped:
            skipped -= groups.pop(0).examples
        # Reading begins here, before the first batch is asked for.
        ahead = pool.submit(self._load, plan.epoch, groups[0]) if groups else None
        return self._shares(plan, groups, skipped, ahead, pool)

    def _shares(
        self, plan: EpochPlan, groups: list[Group], skipped: int, ahead: Future | None, pool: ThreadPoolExecutor
    ) -> Iterator[Arrays]:
        held: list[tuple[Any, np.ndarray]] = []  # Groups in order, each with its examples that are not used yet.
        num_held = 0
        for number in range(len(groups)):
            assert ahead is not None
            events, examples = ahead.result()
            # One group is read ahead while this one is used.
            following = groups[number + 1 : number + 2]
            ahead = pool.submit(self._load, plan.epoch, following[0]) if following else None
            held.append((events, examples[skipped:]))
            num_held += len(examples) - skipped
            skipped = 0
            del events, examples
            while num_held >= plan.share:
                yield self._take(held, plan.share)
                num_held -= plan.share

    def _take(self, held: list[tuple[Any, np.ndarray]], share: int) -> Arrays:
        """Cuts the next `share` examples, which may lie in several groups, and removes them from `held`."""
        parts: list[Arrays] = []
        while share:
            events, examples = held.pop(0)
            parts.append(self._cut(events, examples[:share]))
            if len(examples) > share:
                held.insert(0, (events, examples[share:]))
            share -= min(share, len(examples))
        return parts[0] if len(parts) == 1 else tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    def _load(self, epoch: int, group: Group) -> tuple[Any, np.ndarray]:
        """Reads a group; its events, and its examples in the order in which they are used."""
        segments = read_segments(self._storage, group.files, self._scratch, self._reader)
        events, examples = self._lay_out(segments, group.files)
        return events, examples[example_permutation(len(examples), self._layout.seed, epoch, group)]
