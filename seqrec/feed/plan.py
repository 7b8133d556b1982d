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

from seqrec.core.manifest import FileEntry
from seqrec.feed.layout import Layout, check_layout

_FILES = 1  # Keys that keep the random draws of different purposes apart.
_EXAMPLES = 2
_BYTES_PER_EVENT = 12  # Item, time since the user's first event, position in the segment.
_BYTES_PER_EXAMPLE = 8
_MUCH_LEFT_OVER = 0.05  # Share of an epoch's examples above which a better batch is looked for.
Unit = Literal["targets", "runs"]
_UNITS: dict[Unit, str] = {"targets": "training targets", "runs": "runs of events"}  # As messages call them.


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
    unit: Unit  # The kind of examples.
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
    unit: Unit = "targets" if num_runs is None else "runs"
    examples = [file.targets or 0 for file in files] if num_runs is None else list(num_runs)
    check_layout(examples, layout, _UNITS[unit])
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
    return EpochPlan(
        epoch=epoch,
        share=layout.share,
        steps=least // layout.share,
        unit=unit,
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


def advise_on_left_over(plan: EpochPlan, layout: Layout) -> str | None:
    """A warning of one line, where an epoch leaves out many examples, with the batch that leaves out few.

    None if at most 5 % are left out, or if no batch from half of the given size up does better.
    """
    if plan.left_over <= _MUCH_LEFT_OVER * plan.examples:
        return None
    least, streams, given = min(plan.stream_examples), layout.num_streams, layout.share
    shares = [n for n in range(given, 0, -1) if n % layout.num_parts == 0 and 2 * n >= given]
    used = {share: least // share * share * streams for share in shares}
    enough = [share for share in shares if plan.examples - used[share] <= _MUCH_LEFT_OVER * plan.examples]
    best = enough[0] if enough else max(used, key=lambda share: used[share])
    if plan.examples - used[best] >= plan.left_over:
        return None
    return (
        f"Warning: {plan.left_over:,} of {plan.examples:,} {_UNITS[plan.unit]} are left over in each epoch "
        f"({plan.left_over / plan.examples:.1%}): set training.global_batch_size={best * streams}, which leaves "
        f"{plan.examples - used[best]:,} ({1 - used[best] / plan.examples:.1%})."
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


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"
