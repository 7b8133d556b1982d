"""Training batches: the share of every stream, step by step, from any step of any epoch.

Legend: S streams of this worker, B examples of a stream in a step, L padded history length.
"""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from seqrec.core.batch import History, TrainBatch
from seqrec.core.manifest import FileEntry
from seqrec.core.storage import Storage
from seqrec.events.windows import WindowEvents, build_events, cut_examples
from seqrec.feed.plan import EpochPlan, Group, Layout, example_permutation, plan_epoch
from seqrec.feed.reader import read_segments

Element = TypeVar("Element")


class TrainingFeed:
    """The training batches of one worker.

    Batch k of an epoch is a function of the layout and (epoch, k) alone: it can be asked for without the ones before,
    and the streams of all workers together are the same whatever their number.
    """

    def __init__(
        self,
        storage: Storage,
        files: Sequence[FileEntry],
        layout: Layout,
        *,
        worker_rank: int,
        max_history_length: int,
        scratch: str | None = None,
    ):
        self._storage = storage
        self._files = tuple(files)
        self._layout = layout
        self._max_history_length = max_history_length
        self._scratch = scratch
        self.stream_ids = layout.owned_streams(worker_rank)

    def plan(self, epoch: int) -> EpochPlan:
        """The plan of an epoch: the same on every worker; raises as `plan_epoch`."""
        return plan_epoch(self._files, self._layout, epoch)

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[TrainBatch]:
        """Batches `first_step`, `first_step` + 1, ... of an epoch, of int32 and float32 arrays [S, B, L].

        Raises:
            DataError: a file is not what the manifest says (see `read_segments`).
        """
        plan = self.plan(epoch)
        # One thread reads ahead for all streams: reading is far faster than training.
        with ThreadPoolExecutor(1, thread_name_prefix="feed-reader") as pool:
            streams = [self._stream(plan, stream, first_step, pool) for stream in self.stream_ids]
            try:
                for _ in range(first_step, plan.steps):
                    yield self._stack([next(stream) for stream in streams])
            finally:
                pool.shutdown(cancel_futures=True)

    def _stack(self, parts: list[tuple[History, np.ndarray]]) -> TrainBatch:
        history = History(*(np.stack(arrays) for arrays in zip(*(part[0] for part in parts), strict=True)))
        return TrainBatch(history, np.stack([part[1] for part in parts]))

    def _stream(
        self, plan: EpochPlan, stream: int, first_step: int, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[History, np.ndarray]]:
        """History [B, L] and target [B] of one stream, step by step.

        What comes before `first_step` is passed over by counting: groups that lie wholly in it are not read.
        """
        groups = list(plan.streams[stream])
        skipped = first_step * plan.share
        while groups and groups[0].targets <= skipped:
            skipped -= groups.pop(0).targets
        # Reading begins here, before the first batch is asked for.
        ahead = pool.submit(self._load, plan.epoch, groups[0]) if groups else None
        return self._shares(plan, groups, skipped, ahead, pool)

    def _shares(
        self, plan: EpochPlan, groups: list[Group], skipped: int, ahead: Future | None, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[History, np.ndarray]]:
        held: list[tuple[WindowEvents, np.ndarray]] = []  # Groups with their targets, in order, that are not used yet.
        num_held = 0
        for number in range(len(groups)):
            assert ahead is not None
            events, targets = ahead.result()
            # One group is read ahead while this one is used.
            following = groups[number + 1 : number + 2]
            ahead = pool.submit(self._load, plan.epoch, following[0]) if following else None
            held.append((events, targets[skipped:]))
            num_held += len(targets) - skipped
            skipped = 0
            del events, targets
            while num_held >= plan.share:
                yield self._take(held, plan.share)
                num_held -= plan.share

    def _take(self, held: list[tuple[WindowEvents, np.ndarray]], share: int) -> tuple[History, np.ndarray]:
        """Cuts the next `share` examples, which may lie in several groups, and takes them off `held`."""
        parts = []
        while share:
            events, targets = held.pop(0)
            parts.append(cut_examples(events, targets[:share], self._max_history_length))
            if len(targets) > share:
                held.insert(0, (events, targets[share:]))
            share -= len(parts[-1][1])
        if len(parts) == 1:
            return parts[0]
        history = History(*(np.concatenate(arrays) for arrays in zip(*(part[0] for part in parts), strict=True)))
        return history, np.concatenate([part[1] for part in parts])

    def _load(self, epoch: int, group: Group) -> tuple[WindowEvents, np.ndarray]:
        segments = read_segments(self._storage, group.files, self._scratch)
        events = build_events(segments, self._max_history_length)
        order = example_permutation(events.num_targets, self._layout.seed, epoch, group)
        return events, events.targets[order]


def prefetched(elements: Iterator[Element], num_ahead: int) -> Generator[Element, None, None]:
    """The same elements, made by a thread of their own, up to `num_ahead` before they are asked for.

    An error is raised where its element would have come. Closing the iterator ends the thread.
    """
    ready: queue.Queue = queue.Queue(num_ahead)
    closed = threading.Event()
    end = object()

    def put(element: object) -> bool:
        while not closed.is_set():
            try:
                ready.put(element, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        try:
            for element in elements:
                if not put((element, None)):
                    break
        except BaseException as error:
            put((end, error))
        else:
            put((end, None))
        finally:
            getattr(elements, "close", lambda: None)()

    thread = threading.Thread(target=produce, name="feed", daemon=True)
    thread.start()
    try:
        while True:
            element, error = ready.get()
            if error is not None:
                raise error
            if element is end:
                return
            yield element
    finally:
        closed.set()
        thread.join()
