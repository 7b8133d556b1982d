"""Evaluates twice in a Spark that may retry tasks, the second time with a worker that kills itself once.

    python -m tests.evaluation.killed_task FOLDER

Prints how often a worker was killed, and whether both evaluations are the same.
"""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pyspark.sql import SparkSession

from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.rankings import baseline_tables
from seqrec.evaluation.rankings.baselines import Popularity
from seqrec.evaluation.rows import EvaluationRows
from seqrec.evaluation.stage import run_evaluate
from tests.evaluation.worlds import write_prepared, write_run


@dataclass(frozen=True)
class Fragile:
    """A ranker whose first use ends its process, as the kernel does when memory runs out."""

    ranker: Popularity
    killed: Path

    def scores(self, rows: EvaluationRows, candidates: np.ndarray) -> np.ndarray:
        try:
            self.killed.touch(exist_ok=False)
        except FileExistsError:
            return self.ranker.scores(rows, candidates)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")


def main(folder: str) -> None:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[2,4]").config("spark.ui.enabled", False)
    spark = builder.config("spark.sql.shuffle.partitions", 2).getOrCreate()
    storage = Storage(folder)
    write_run(storage, write_prepared(storage, "small"), "a2svd")
    config = EvaluationConfig(baselines=("popularity",), num_replicates=100, report=False)
    undisturbed = run_evaluate(spark, storage, "small", "a2svd", config, seed=1)
    build = baseline_tables._BUILDERS["popularity"]
    killed = Path(folder) / "killed"
    baseline_tables._BUILDERS["popularity"] = lambda material: Fragile(build(material), killed)  # type: ignore[arg-type]
    disturbed = run_evaluate(spark, storage, "small", "a2svd", config, seed=1, force=True)
    spark.stop()
    is_same = (disturbed.results, disturbed.slices) == (undisturbed.results, undisturbed.slices)
    print(f"killed {killed.exists()}, same {is_same}")


if __name__ == "__main__":
    # Workers unpickle the ranker by the name of its module, which must not be __main__.
    from tests.evaluation import killed_task

    killed_task.main(sys.argv[1])
