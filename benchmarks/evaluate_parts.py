"""CPU seconds of the parts of an evaluation in one process with one thread, without Spark: what a worker computes.

    python benchmarks/evaluate_parts.py WORKDIR NAME RUN

WORKDIR, NAME and RUN as for the job `evaluate`. Takes the first 4,096 rows of the test split; the last of three runs.
"""

import os
import sys
import time
from collections.abc import Callable

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.rankings.model_ranking import ranker_of_run
from seqrec.evaluation.rankings.ranker import ComparedRankers
from seqrec.evaluation.rankings.stored_candidates import rank_stored_candidates
from seqrec.evaluation.rows import USER_KEY, rows_of_arrow
from seqrec.evaluation.statistics.aggregates import Plan, sums_of_batch
from seqrec.evaluation.statistics.slices import build_slicer
from seqrec.events.vocabulary import read_vocabulary
from seqrec.scoring.run import read_run

NUM_ROWS = 4096


def main(workdir: str, name: str, run_name: str) -> None:
    storage = Storage(workdir)
    prepared = Dataset(storage, "prepared", name).require("prepare")
    config = EvaluationConfig()
    vocabulary = read_vocabulary(storage, prepared)
    ranker = ranker_of_run(storage, read_run(storage, run_name, prepared), config)
    files = [storage.open_input(file.path) for file in prepared.table("sequences/test").files]
    table = pa.concat_tables([pq.read_table(file) for file in files]).slice(0, NUM_ROWS)
    table = table.append_column(USER_KEY, pa.array(np.arange(len(table)) * 7919))
    slicer = build_slicer(vocabulary.train_count, vocabulary.item_category, {})
    compared = ComparedRankers((run_name,), (ranker,), slicer, 10)
    num_labels = tuple(len(slicing.labels) for slicing in slicer.slicings)
    plan = Plan(1, num_labels, config.cutoffs, 1, config.num_replicates, False)
    (batch,) = table.combine_chunks().to_batches()
    rows = rows_of_arrow(batch)
    judged = rank_stored_candidates(rows, compared)
    seconds = {
        "Arrow to arrays": cpu_seconds(lambda: rows_of_arrow(batch)),
        "the model's logits": cpu_seconds(lambda: ranker.scores(rows, rows.candidates)),
        "logits, ranks, slices, best items": cpu_seconds(lambda: rank_stored_candidates(rows, compared)),
        f"sums with {config.num_replicates} replicates": cpu_seconds(lambda: list(sums_of_batch(judged, plan))),
    }
    for part, each in seconds.items():
        print(f"{part:36s} {each:6.3f} s for {len(rows)} groups: {len(rows) / max(each, 1e-4):,.0f} groups/s")


def cpu_seconds(work: Callable[[], object]) -> float:
    for _ in range(3):
        start = time.process_time()
        work()
        seconds = time.process_time() - start
    return seconds


if __name__ == "__main__":
    main(*sys.argv[1:])
