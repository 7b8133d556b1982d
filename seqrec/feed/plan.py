"""The plan of an epoch: which files are read in which order, computed from counts alone.

The train files are permuted by (seed, epoch) and dealt to V streams; a stream reads a few files at a time, a group.
Step k of an epoch takes the k-th share of every stream, so the global batch does not depend on how many workers own
the streams. Worker r of n owns the streams s with s % n == r. The examples of a share are targets, each with the window
of events before it, or runs of events, each with many targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seqrec.core.errors import ConfigError, DataError
from seqrec.core.manifest import FileEntry

_FILES = 1  # Keys that keep the random draws of different purposes apart.
_EXAMPLES = 2
_BYTES_PER_EVENT = 12  # Item, time since the user's first event, position in the segment.
_BYTES_PER_EXAMPLE = 8


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The settings that cut up an epoch. Every field but `num_workers` changes the order of examples."""

    seed: int
    num_streams: int
    global_batch_size: int  # Examples of one step, over all streams.
    files_per_group: int
    num_parts: int = 1  # Parts of a stream's share that are worked on one after the other (gradient accumulation).
    num_workers: int = 1

    @property
    def share(self) -> int:
        """Examples that one stream gives to one step."""
        return self.global_batch_size // self.num_streams

    def owned_streams(self, worker_rank: int) -> list[int]:
        """Numbers of the streams that a worker feeds."""
        return list(range(worker_rank, self.num_streams, self.num_workers))


@dataclass(frozen=True, kw_only=True)
class Group:
    """Files that one stream reads at once."""

    files: tuple[FileEntry, ...]
    stream: int
    index: int  # Number of the group within its stream's epoch.
    examples: int  # Examples that are cut from its files.

    @property
    def targets(self) -> int:
        return sum(file.targets or 0 for file in self.files)

    @property
    def bytes_in_memory(self) -> int:
        """An estimate: each segment is taken to have one event that is context only."""
        rows = sum(file.rows for file in self.files)
        return (self.targets + rows) * _BYTES_PER_EVENT + self.examples * _BYTES_PER_EXAMPLE


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """The groups of every stream in one epoch, and the number of its steps."""

    epoch: int
    share: int  # Examples of one stream in one step.
    steps: int
    unit: Literal["targets", "runs"]  # The kind of examples.
    streams: tuple[tuple[Group, ...], ...]  # [V][groups of the stream]

    @property
    def stream_examples(self) -> list[int]:
        """Examples of each stream."""
        return [sum(group.examples for group in groups) for groups in self.streams]

    @property
    def examples(self) -> int:
        return sum(self.stream_examples)

    @property
    def targets(self) -> int:
        return sum(group.targets for groups in self.streams for group in groups)

    @property
    def left_over(self) -> int:
        """Examples that this epoch does not use."""
        return self.examples - self.steps * self.share * len(self.streams)


def check_layout(num_files: int, layout: Layout) -> None:
    """Checks that files, streams, batch and workers divide.

    Raises:
        ConfigError: they do not, or the seed is below 0; the message names the nearest good values.
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
    """The checks of `check_layout` that need no files; raises as it does."""
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


def plan_epoch(
    files: Sequence[FileEntry], layout: Layout, epoch: int, num_runs: Sequence[int] | None = None
) -> EpochPlan:
    """The plan of one epoch (0 is the first); it depends on the arguments alone, so it is the same on every worker.

    Args:
        num_runs: runs of events in each file (see `count_runs`); None plans windows, one for each target.

    Raises:
        ConfigError: files, streams, batch and workers do not divide, or the seed is below 0.
        DataError: a stream cannot fill a single step.
    """
    check_layout(len(files), layout)
    examples = [file.targets or 0 for file in files] if num_runs is None else list(num_runs)
    streams = tuple(
        tuple(
            Group(
                files=tuple(files[i] for i in own[start : start + layout.files_per_group]),
                stream=stream,
                index=index,
                examples=sum(examples[i] for i in own[start : start + layout.files_per_group]),
            )
            for index, start in enumerate(range(0, len(own), layout.files_per_group))
        )
        for stream, own in enumerate(_deal(examples, layout, epoch))
    )
    least = min(sum(group.examples for group in groups) for groups in streams)
    if least < layout.share:
        what = "training targets" if num_runs is None else "runs of events"
        raise DataError(
            f"The smallest of {layout.num_streams} streams has {least} {what}, a step takes {layout.share} "
            f"of each: set training.global_batch_size to at most {least * layout.num_streams}, or use fewer streams."
        )
    return EpochPlan(
        epoch=epoch,
        share=layout.share,
        steps=least // layout.share,
        unit="targets" if num_runs is None else "runs",
        streams=streams,
    )


def permutation(size: int, *key: int) -> np.ndarray:
    """int64 [size]: a random permutation that depends on `key` alone."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key))).permutation(size)


def example_permutation(size: int, seed: int, epoch: int, group: Group) -> np.ndarray:
    """int64 [size]: the order in which a group's examples are used."""
    return permutation(size, _EXAMPLES, seed, epoch, group.stream, group.index)


def describe_plan(plan: EpochPlan, layout: Layout) -> str:
    """A few lines for people: steps, examples of streams and workers, the number left over, memory."""
    examples, unit = plan.stream_examples, plan.unit
    per_worker = [sum(examples[s] for s in layout.owned_streams(rank)) for rank in range(layout.num_workers)]
    largest = max((group for groups in plan.streams for group in groups), key=lambda group: group.bytes_in_memory)
    held = 2 * largest.bytes_in_memory * layout.num_streams // layout.num_workers
    num_files = sum(len(group.files) for groups in plan.streams for group in groups)
    total = f"{unit}: {plan.examples:,}" + (f" of {plan.targets:,} targets" if unit == "runs" else "")
    return "\n".join(
        [
            f"epoch {plan.epoch + 1}: {plan.steps:,} steps of {layout.global_batch_size} "
            f"{'examples' if unit == 'targets' else unit} ({layout.num_streams} streams x {plan.share})",
            f"train files: {num_files}, {num_files // layout.num_streams} a stream, up to {len(largest.files)} a group",
            f"{total}; left over {plan.left_over:,} ({plan.left_over / plan.examples:.2%}), others each epoch",
            f"{unit} per stream: {min(examples):,} to {max(examples):,}",
            f"{unit} per worker: {', '.join(f'{n:,}' for n in per_worker)}",
            f"memory: about {_size(largest.bytes_in_memory)} a group, at most {_size(held)} a worker "
            "(one group of each stream in use, one read ahead)",
        ]
    )


def _deal(examples: Sequence[int], layout: Layout, epoch: int) -> list[list[int]]:
    """Numbers of each stream's files, given the examples of each file; every stream gets as many files.

    The files are dealt in permuted order, V at a time, the largest to the stream that has least so far.
    """
    order = permutation(len(examples), _FILES, layout.seed, epoch)
    streams: list[list[int]] = [[] for _ in range(layout.num_streams)]
    totals = [0] * layout.num_streams
    for start in range(0, len(examples), layout.num_streams):
        dealt = [int(file) for file in order[start : start + layout.num_streams]]
        poorest = list(range(layout.num_streams))
        if start:  # The first round stays as permuted: if it were sorted, it would look alike in every epoch.
            dealt.sort(key=lambda file: -examples[file])
            poorest.sort(key=lambda stream: totals[stream])
        for stream, file in zip(poorest, dealt, strict=True):
            streams[stream].append(file)
            totals[stream] += examples[file]
    return streams


def _nearest(good: Sequence[int], value: int) -> str:
    below = [n for n in good if n < value]
    above = [n for n in good if n > value]
    return " or ".join(str(n) for n in [*below[-1:], *above[:1]])


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"
