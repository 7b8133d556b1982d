"""How many training examples per second the feed alone gives on one core, at history 50: windows, and runs of events.

    taskset -c 0 python -m benchmarks.feed_speed [--events 4000000] [--reader pyarrow] [--digest]

Writes segments as the preparation does (users of 5 to 200 events, zstd, one row group per file), then reads a whole
epoch, through Petastorm or by pyarrow alone, into batches of 400 windows and of 400 runs, and reports how much of it
was reading and how much cutting; for runs also the cost of counting them when training starts. `--digest` prints a
digest of all batches instead, to compare readers and versions of pyarrow.
"""

import argparse
import hashlib
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.core import columns as C
from seqrec.core.manifest import FileEntry
from seqrec.core.storage import Storage
from seqrec.feed.layout import Layout
from seqrec.feed.reader import read_segments
from seqrec.feed.runs import RunFeed, count_runs
from seqrec.feed.windows import WindowFeed

NUM_FILES = 64


def write_segments(folder: Path, num_events: int, longest: int, seed: int = 1) -> list[FileEntry]:
    """Files of segments with power-law lengths and items, whole-day times."""
    rng = np.random.default_rng(seed)
    entries = []
    for number in range(NUM_FILES):
        lengths = np.minimum(5 + rng.pareto(1.2, num_events // NUM_FILES // 12).astype(np.int64) * 5, longest)
        total = int(lengths.sum())
        items = np.minimum(rng.pareto(1.1, total) * 50 + 1, 1_000_000).astype(np.int32)
        ends = np.cumsum(lengths)
        offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
        first = rng.integers(10_000, 15_000, len(lengths))
        days = np.repeat(first, lengths) + np.arange(total) - np.repeat(ends - lengths, lengths)
        times = days * 86_400
        table = pa.table(
            {
                C.USER: pa.array([f"A{number:02d}{row:09d}" for row in range(len(lengths))]),
                C.ITEM_INDICES: pa.ListArray.from_arrays(offsets, pa.array(items)),
                C.TIMESTAMPS: pa.ListArray.from_arrays(offsets, pa.array(times)),
                C.FIRST_TIMESTAMP: pa.array(first * 86_400),
                C.NUM_CONTEXT: pa.array(np.ones(len(lengths), np.int32)),
            }
        )
        path = folder / f"part-{number:05d}.parquet"
        pq.write_table(table, path, compression="zstd", row_group_size=len(lengths))
        entries.append(
            FileEntry(path=path.name, rows=len(lengths), size=path.stat().st_size, targets=total - len(lengths))
        )
    return entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--history", type=int, default=50)
    parser.add_argument("--reader", choices=("petastorm", "pyarrow"), default="petastorm")
    parser.add_argument("--digest", action="store_true")
    arguments = parser.parse_args()
    reader = arguments.reader
    windows, runs, counts = [], [], []
    for longest in (20, 200):
        with tempfile.TemporaryDirectory(prefix="seqrec-feed-") as folder:
            files = write_segments(Path(folder), arguments.events, longest)
            storage = Storage(folder)
            if arguments.digest:
                print(longest, digest_of_batches(storage, files, reader, arguments.history))
                continue
            before = time.process_time()
            events = sum(len(read_segments(storage, [file], reader=reader).items.values) for file in files)
            reading = time.process_time() - before
            windows.append(measure_windows(storage, files, reader, longest, arguments.history, events, reading))
            rows = measure_runs(storage, files, reader, longest, arguments.history, events)
            runs.append(rows[0])
            counts.append(rows[1])
    if arguments.digest:
        return
    print("| users' events | examples | epoch, s | examples/s | reading alone, events/s | cutting alone, examples/s |")
    print("|---|---|---|---|---|---|", *windows, sep="\n")
    print("\n| users' events | runs | targets | epoch, s | runs/s | targets/s | batch slots that hold an event |")
    print("|---|---|---|---|---|---|---|", *runs, sep="\n")
    print("\n| users' events | counting the runs, s | events/s |\n|---|---|---|", *counts, sep="\n")
    print(f"\nlargest resident memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def layout() -> Layout:
    return Layout(seed=1, num_streams=8, global_batch_size=400, files_per_group=4)


def digest_of_batches(storage: Storage, files: list[FileEntry], reader: str, history: int) -> str:
    """SHA-256 of every array of an epoch of windows and one of runs, with types and shapes."""
    digest = hashlib.sha256()
    for kind in (WindowFeed, RunFeed):
        feed = kind(storage, files, layout(), worker_rank=0, max_history_length=history, reader=reader)
        for batch in feed.batches(0):
            for part in batch:
                for array in part if isinstance(part, tuple) else (part,):
                    digest.update(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def measure_windows(
    storage: Storage, files: list[FileEntry], reader: str, longest: int, history: int, events: int, reading: float
) -> str:
    """A line of the table of windows."""
    feed = WindowFeed(storage, files, layout(), worker_rank=0, max_history_length=history, reader=reader)
    used, started = time.process_time(), time.monotonic()
    examples = sum(batch.target_item.size for batch in feed.batches(0))
    seconds, used = time.monotonic() - started, time.process_time() - used
    return (
        f"| 5 to {longest} | {examples:,} | {seconds:.1f} ({used:.1f} of processor) | {examples / used:,.0f} per core "
        f"| {events / reading:,.0f} | {examples / (used - reading):,.0f} |"
    )


def measure_runs(
    storage: Storage, files: list[FileEntry], reader: str, longest: int, history: int, events: int
) -> tuple[str, str]:
    """A line of the table of runs, and a line about counting them."""
    used = time.process_time()
    count_runs(storage, files, history)
    counting = time.process_time() - used
    feed = RunFeed(storage, files, layout(), worker_rank=0, max_history_length=history, reader=reader)
    used, started = time.process_time(), time.monotonic()
    runs = targets = slots = filled = 0
    for batch in feed.batches(0):
        runs += batch.runs.length.size
        targets += int(np.count_nonzero(batch.target_items))
        slots += batch.target_items.size
        filled += int(batch.runs.length.sum())
    seconds, used = time.monotonic() - started, time.process_time() - used
    return (
        f"| 5 to {longest} | {runs:,} | {targets:,} | {seconds:.1f} ({used:.1f} of processor) | {runs / used:,.0f} per "
        f"core | {targets / used:,.0f} per core | {filled / slots:.0%} |",
        f"| 5 to {longest} | {counting:.2f} of processor | {events / counting:,.0f} |",
    )


if __name__ == "__main__":
    main()
