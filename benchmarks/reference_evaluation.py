"""The reference's `run_eval` on a file of groups: run with the Python of an environment that has recommenders 1.2.1.

    PYTHON benchmarks/reference_evaluation.py MODEL FOLDER NUM_ITEMS

FOLDER holds `test`, lines of the reference's format in groups of 1+49. Prints the seconds of one run and its metrics.
"""

import itertools
import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import reference_process
import tensorflow as tf

METRICS = ["auc", "logloss"]
PAIRWISE = ["mean_mrr", "ndcg@2;4;6;10", "hit@1;5;10", "group_auc"]


class ItemNumbers:
    """As much of the vocabulary as the reference's files need."""

    def __init__(self, num_items: int):
        self.num_items = num_items


def main(name: str, folder: str, num_items: str) -> None:
    reference_process.write_vocabularies(ItemNumbers(int(num_items)), folder)
    model = reference_process.build(name, folder)
    model.hparams.metrics = METRICS
    model.hparams.pairwise_metrics = PAIRWISE
    with open(f"{folder}/test") as lines, open(f"{folder}/first", "w") as first:
        first.writelines(itertools.islice(lines, 400))
    model.run_eval(f"{folder}/first", 49)  # Start-up is not counted.
    print("ready", flush=True)
    for _ in sys.stdin:
        start, cpu_start = time.perf_counter(), time.process_time()
        metrics = model.run_eval(f"{folder}/test", 49)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
        model.iterator.iter_data.pop(f"{folder}/test", None)  # It keeps parsed files; every run reads its own.
        print(
            json.dumps({"seconds": seconds, "cpu": cpu_seconds, "metrics": {k: float(v) for k, v in metrics.items()}}),
            flush=True,
        )


if __name__ == "__main__":
    tf.compat.v1.logging.set_verbosity("ERROR")
    main(*sys.argv[1:])
