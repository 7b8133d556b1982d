"""What a leak would be worth: the last stage fitted as it is, and on tables that were counted with the targets.

    python -m benchmarks.planted_leak CONFIG WORKDIR RETRIEVAL_RUN [section.key=value ...]

WORKDIR holds `prepared/<name>` and the run. Candidates of validation are found twice, a ranker is fitted on each, and
NDCG@10 of the users held out is printed. The names of the leaky results end in `-leaky`; nothing else is touched.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from seqrec.core import columns as C
from seqrec.core.storage import Storage
from seqrec.neighbours import build
from seqrec.neighbours.build import NeighbourInputs
from seqrec.pipeline.config import load_run_config
from seqrec.recommendation.candidates.stage import run_candidates
from seqrec.recommendation.rankers.stage import run_rank
from seqrec.tables.files import read_table
from seqrec.tables.prepared_schemas import EVALUATION
from seqrec.tables.sessions import spark_session


def events_with_targets(inputs: NeighbourInputs) -> DataFrame:
    """In place of `read_events`: the rows of the measured split, each with the very target that is to be found."""
    rows = read_table(inputs.spark, inputs.storage, inputs.prepared, f"sequences/{inputs.config.histories}", EVALUATION)
    return rows.select(
        F.concat(C.HISTORY_ITEMS, F.array(C.TARGET_ITEM)).alias(C.ITEM_INDICES),
        F.concat(C.HISTORY_TIMESTAMPS, F.array(C.TARGET_TIMESTAMP)).alias(C.TIMESTAMPS),
        F.lit(0).alias(C.NUM_CONTEXT),
    )


@contextmanager
def leak() -> Iterator[None]:
    """While it is open, tables of neighbours are counted with the targets."""
    honest = build.read_events
    build.read_events = events_with_targets
    try:
        yield
    finally:
        build.read_events = honest


def main(config: str, workdir: str, run: str, *overrides: str) -> None:
    settings = [f"workdir={workdir}", "candidates.histories=validation", f"candidates.retrieval_run={run}", *overrides]
    loaded = load_run_config(config, settings).run
    storage, name = Storage(loaded.workdir), loaded.name
    with spark_session("planted-leak", {"spark.sql.shuffle.partitions": "4"}) as spark:
        for kind in ("honest", "leaky"):
            if kind == "leaky":
                with leak():
                    run_candidates(spark, storage, name, loaded.candidates, force=True)
            else:
                run_candidates(spark, storage, name, loaded.candidates)
            ranker = run_rank(spark, storage, name, loaded.ranker, loaded.seed, force=True)
            figures = {each: found["ndcg@10"]["value"] for each, found in ranker.details["measured"].items()}
            print(f"{kind}: " + ", ".join(f"{each} {value:.4f}" for each, value in figures.items()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
