from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from seqrec.core.storage import Storage
from seqrec.neighbours.config import CandidatesConfig
from seqrec.recommendation.candidates.stage import run_candidates
from tests.recommendation.world import write_run, write_world

SMALL = CandidatesConfig(max_candidates=25, num_neighbours=10)


# Not of the package's scope: a worker of xdist goes back and forth between packages, and would make it again each time.
@pytest.fixture(scope="session")
def world(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """`prepared/small`, runs `a2svd`, `sli_rec` and `sasrec`, and `candidates/small`; tests do not change them."""
    root: Path = tmp_path_factory.mktemp("world")
    storage = Storage(str(root))
    prepared = write_world(storage)
    write_run(storage, prepared, "a2svd", "a2svd")
    write_run(storage, prepared, "sli_rec", "sli_rec")
    write_run(storage, prepared, "sasrec", "sasrec")
    run_candidates(spark, storage, "small", SMALL)
    return storage
