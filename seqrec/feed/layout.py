"""How an epoch is cut up: the settings, whether they fit the train files, and the nearest ones that do.

All that does not fit is said in one message, with one set of settings that works.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from seqrec.core.errors import ConfigError, DataError, SeqrecError

_KEYS = {
    "num_streams": "training.num_streams",
    "num_workers": "training.num_workers",
    "num_parts": "training.gradient_accumulation",
    "global_batch_size": "training.global_batch_size",
}
_LEAST_SHARE = 2  # Examples of a stream in a part of a step: a single one would have no others as its negatives.


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


def check_layout(examples: Sequence[int], layout: Layout, unit: str = "training targets") -> None:
    """Checks that files, streams, batch and workers divide, and that every stream has examples for a step.

    Args:
        examples: examples of each train file.
        unit: what the examples are called.

    Raises:
        ConfigError: they do not divide, or the seed is below 0.
        DataError: a stream may not fill a step. Either message names settings that work.
    """
    streams, num_files = layout.num_streams, len(examples)
    faults = []
    if num_files % streams:
        faults.append(f"training.num_streams={streams} does not divide the {num_files} train files")
    faults += _division_faults(layout)
    error: type[SeqrecError] = ConfigError if faults else DataError
    least = _least(examples, streams)
    if least < layout.share:
        faults.append(
            f"the smallest of {streams} streams may have only {least:,} of the {sum(examples):,} {unit}, and a step "
            f"takes {layout.share:,} of each"
        )
    _refuse(faults, error, layout, fitting(examples, layout))


def check_division(layout: Layout) -> None:
    """The checks of `check_layout` that need no files; raises as it does."""
    unlimited = [2 * (layout.global_batch_size + layout.num_parts)] * layout.num_streams
    _refuse(_division_faults(layout), ConfigError, layout, fitting(unlimited, layout))


def fitting(examples: Sequence[int], layout: Layout) -> Layout | None:
    """The settings nearest to `layout` that work, with no more streams, workers and examples of a step than it has.

    None if there are too few examples for any.
    """
    divisors = [n for n in range(min(layout.num_streams, len(examples)), 0, -1) if len(examples) % n == 0]
    for num_parts in dict.fromkeys((layout.num_parts, 1)):
        least_share = _LEAST_SHARE * num_parts
        for streams in divisors:
            share = min(_least(examples, streams), max(layout.global_batch_size // streams, least_share))
            share -= share % num_parts
            if share >= least_share:
                return replace(
                    layout,
                    num_streams=streams,
                    num_parts=num_parts,
                    num_workers=max(n for n in range(1, layout.num_workers + 1) if streams % n == 0),
                    global_batch_size=share * streams,
                )
    return None


def settings_of(layout: Layout, before: Layout) -> str:
    """The settings in which `layout` differs from `before`, as they are given: "training.num_streams=1 and ..."."""
    changed = [
        f"{name}={getattr(layout, field)}"
        for field, name in _KEYS.items()
        if getattr(layout, field) != getattr(before, field)
    ]
    return ", ".join(changed[:-1]) + (" and " if changed[1:] else "") + "".join(changed[-1:])


def _division_faults(layout: Layout) -> list[str]:
    streams, workers, faults = layout.num_streams, layout.num_workers, []
    if layout.seed < 0:
        raise ConfigError(f"seed={layout.seed}: give 0 or more.")
    if streams % workers:
        faults.append(f"training.num_workers={workers} does not divide training.num_streams={streams}")
    if layout.global_batch_size % (streams * layout.num_parts):
        parts = f" x {layout.num_parts} accumulated parts" if layout.num_parts > 1 else ""
        faults.append(
            f"training.global_batch_size={layout.global_batch_size} is not a multiple of {streams} streams{parts}"
        )
    return faults


def _refuse(faults: list[str], error: type[SeqrecError], layout: Layout, better: Layout | None) -> None:
    if not faults:
        return
    what = "; ".join(faults)
    if better is None:
        raise DataError(f"{what}: prepare more data, or loosen the filters of preparation.")
    raise error(f"{what}: set {settings_of(better, layout)}.")


def _least(examples: Sequence[int], streams: int) -> int:
    """Examples that every stream has in every epoch, however files are dealt to streams."""
    return sum(sorted(examples)[: len(examples) // streams])
