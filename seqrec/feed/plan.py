"""Which files are read in which order: the plan of an epoch, from the manifest alone.

The train files are permuted by (seed, epoch) and dealt to V streams; a stream reads a few files at a time, a group.
Step k of an epoch takes the k-th share of every stream, so the global batch does not depend on how many workers
own the streams. Worker r of n owns the streams s with s % n == r.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqrec.core.errors import ConfigError, DataError
from seqrec.core.manifest import FileEntry

_FILES = 1  # Keys that keep the draws of different purposes apart.
_EXAMPLES = 2
_BYTES_PER_EVENT = 12  # Item, time since the user's first event, position in the segment.
_BYTES_PER_TARGET = 8


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How an epoch is cut up; everything here but `num_workers` changes the order of examples."""

    seed: int
    num_streams: int
    global_batch_size: int
    files_per_group: int
    num_parts: int = 1  # Parts of a stream's share worked on one after the other (gradient accumulation).
    num_workers: int = 1

    @property
    def share(self) -> int:
        """Examples that one stream gives to one step."""
        return self.global_batch_size // self.num_streams

    def owned_streams(self, worker_rank: int) -> list[int]:
        return list(range(worker_rank, self.num_streams, self.num_workers))


@dataclass(frozen=True, kw_only=True)
class Group:
    files: tuple[FileEntry, ...]
    stream: int
    index: int  # Within the stream's epoch.

    @property
    def targets(self) -> int:
        return sum(file.targets or 0 for file in self.files)

    @property
    def bytes_in_memory(self) -> int:
        """An estimate: events that are context only are counted one per segment."""
        rows = sum(file.rows for file in self.files)
        return (self.targets + rows) * _BYTES_PER_EVENT + self.targets * _BYTES_PER_TARGET


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    epoch: int
    share: int  # Examples of one stream in one step.
    steps: int
    streams: tuple[tuple[Group, ...], ...]  # [V][groups of the stream]

    @property
    def stream_targets(self) -> list[int]:
        return [sum(group.targets for group in groups) for groups in self.streams]

    @property
    def targets(self) -> int:
        return sum(self.stream_targets)

    @property
    def left_over(self) -> int:
        """Targets that this epoch does not use."""
        return self.targets - self.steps * self.share * len(self.streams)


def check_layout(num_files: int, layout: Layout) -> None:
    """Raises ConfigError where the seed is below 0, or files, streams, batch and workers do not divide.

    It names the nearest good values.
    """
    streams = layout.num_streams
    if num_files % streams:
        good = _nearest([n for n in range(1, num_files + 1) if num_files % n == 0], streams)
        raise ConfigError(
            f"training.num_streams={streams} does not divide the {num_files} train files: use {good}, "
            f"or prepare with preparation.num_streams_max a multiple of {streams}."
        )
    check_division(layout)


def check_division(layout: Layout) -> None:
    """What `check_layout` can tell before there are files."""
    streams, workers = layout.num_streams, layout.num_workers
    if layout.seed < 0:
        raise ConfigError(f"seed={layout.seed}: give 0 or more.")
    if streams % workers:
        good = _nearest([n for n in range(1, streams + 1) if streams % n == 0], workers)
        raise ConfigError(
            f"training.num_workers={workers} does not divide training.num_streams={streams}: use {good} workers."
        )
    unit = streams * layout.num_parts
    if layout.global_batch_size % unit:
        below = layout.global_batch_size // unit * unit
        good = " or ".join(str(n) for n in (below, below + unit) if n)
        parts = f" x {layout.num_parts} accumulated parts" if layout.num_parts > 1 else ""
        raise ConfigError(
            f"training.global_batch_size={layout.global_batch_size} is not a multiple of {streams} streams{parts}: "
            f"use {good}."
        )


def plan_epoch(files: Sequence[FileEntry], layout: Layout, epoch: int) -> EpochPlan:
    """The plan of one epoch (0 is the first); a function of the arguments alone, the same on every worker.

    Raises:
        ConfigError: files, streams, batch and workers do not divide, or the seed is below 0.
        DataError: a stream cannot fill a single step.
    """
    check_layout(len(files), layout)
    dealt = _deal(files, layout, epoch)
    streams = [_into_groups(own, stream, layout.files_per_group) for stream, own in enumerate(dealt)]
    least = min(sum(group.targets for group in groups) for groups in streams)
    if least < layout.share:
        raise DataError(
            f"The smallest of {layout.num_streams} streams has {least} training targets, a step takes {layout.share} "
            f"of each: set training.global_batch_size to at most {least * layout.num_streams}, or use fewer streams."
        )
    return EpochPlan(epoch=epoch, share=layout.share, steps=least // layout.share, streams=tuple(streams))


def permutation(size: int, *key: int) -> np.ndarray:
    """int64 [size]: the permutation that belongs to `key`, whoever draws it."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key))).permutation(size)


def example_permutation(size: int, seed: int, epoch: int, group: Group) -> np.ndarray:
    """int64 [size]: the order in which a group's targets are used."""
    return permutation(size, _EXAMPLES, seed, epoch, group.stream, group.index)


def describe_plan(plan: EpochPlan, layout: Layout) -> str:
    """A few lines for people: steps, targets of streams and workers, what is left over, memory."""
    targets = plan.stream_targets
    per_worker = [sum(targets[s] for s in layout.owned_streams(rank)) for rank in range(layout.num_workers)]
    largest = max((group for groups in plan.streams for group in groups), key=lambda group: group.bytes_in_memory)
    held = 2 * largest.bytes_in_memory * layout.num_streams // layout.num_workers
    num_files = sum(len(group.files) for groups in plan.streams for group in groups)
    return "\n".join(
        [
            f"epoch {plan.epoch + 1}: {plan.steps:,} steps of {layout.global_batch_size} examples "
            f"({layout.num_streams} streams x {plan.share})",
            f"train files: {num_files}, {num_files // layout.num_streams} a stream, up to {len(largest.files)} a group",
            f"targets: {plan.targets:,}; left over {plan.left_over:,} ({plan.left_over / plan.targets:.2%}), "
            "others each epoch",
            f"targets per stream: {min(targets):,} to {max(targets):,}",
            f"targets per worker: {', '.join(f'{n:,}' for n in per_worker)}",
            f"memory: about {_size(largest.bytes_in_memory)} a group, at most {_size(held)} a worker "
            "(one group of each stream in use, one read ahead)",
        ]
    )


def _deal(files: Sequence[FileEntry], layout: Layout, epoch: int) -> list[list[FileEntry]]:
    """As many files to every stream: in permuted order, V at a time, the largest to the stream that has least."""
    order = permutation(len(files), _FILES, layout.seed, epoch)
    streams: list[list[FileEntry]] = [[] for _ in range(layout.num_streams)]
    totals = [0] * layout.num_streams
    for start in range(0, len(files), layout.num_streams):
        dealt = [files[i] for i in order[start : start + layout.num_streams]]
        poorest = list(range(layout.num_streams))
        if start:  # The first round stays as permuted: sorted, it would look alike in every epoch.
            dealt.sort(key=lambda file: -(file.targets or 0))
            poorest.sort(key=lambda stream: totals[stream])
        for stream, file in zip(poorest, dealt, strict=True):
            streams[stream].append(file)
            totals[stream] += file.targets or 0
    return streams


def _into_groups(files: Sequence[FileEntry], stream: int, size: int) -> tuple[Group, ...]:
    starts = range(0, len(files), size)
    return tuple(Group(files=tuple(files[a : a + size]), stream=stream, index=i) for i, a in enumerate(starts))


def _nearest(good: Sequence[int], value: int) -> str:
    below = [n for n in good if n < value]
    above = [n for n in good if n > value]
    return " or ".join(str(n) for n in [*below[-1:], *above[:1]])


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"
