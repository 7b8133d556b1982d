"""Finding negatives by a guide beside NumPy's search, in the same run: `python benchmarks/prepare_search.py`.

One line per size of the catalogue: microseconds of CPU for each draw of 57 points (49 negatives and their spares) from
the cumulative popularity of that many items, by `np.searchsorted` and by `SearchGuide.find`, as medians of five
interleaved runs.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np

from seqrec.core.keyed_random import uniforms
from seqrec.preparation.negatives.search_guide import SearchGuide

DRAWS, POINTS, RUNS = 10_000, 57, 5


def seconds(work: Callable[[], np.ndarray]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    print("| items | np.searchsorted, µs a row | SearchGuide.find, µs a row | ratio |\n|---|---|---|---|")
    for num_items in (20_000, 200_000, 4_000_000):
        weights = np.maximum(1e6 * np.arange(1, num_items + 1) ** -0.6 / num_items**0.4, 5)
        upto = np.concatenate([[0.0], np.cumsum(weights.astype(np.int64))])
        points = uniforms(np.arange(DRAWS, dtype=np.uint64), 0, POINTS) * upto[-1]
        guide = SearchGuide.of(upto)
        ours, usual = [], []
        for _ in range(RUNS):
            usual.append(seconds(partial(np.searchsorted, upto, points, "right")))
            ours.append(seconds(partial(guide.find, upto, points)))
        assert (guide.find(upto, points) == np.searchsorted(upto, points, side="right")).all()
        per_row = [1e6 * median(times) / DRAWS for times in (usual, ours)]
        print(f"| {num_items:,} | {per_row[0]:.1f} | {per_row[1]:.1f} | {per_row[0] / per_row[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
