import os
import resource
from pathlib import Path
from typing import Any

import pytest

from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.training.job import TrainingJob
from seqrec.training.worker import run_worker
from tests.training.small_runs import SEED, small_model, small_training


@pytest.mark.slow
def test_memory_of_a_worker_stays_flat_over_ten_epochs(prepared: tuple[Storage, Manifest], tmp_path: Path) -> None:
    job = TrainingJob(
        workdir=prepared[0].root,
        prepared=prepared[1].to_json(),
        attempt_path="runs/long/000000000000-1",
        resume_path=None,
        control=str(tmp_path),
        model=small_model(),
        training=small_training(num_epochs=13),
        seed=SEED,
    )
    resident: list[float] = []

    def measure(state: Any) -> None:
        pages = int(Path(f"/proc/{os.getpid()}/statm").read_text().split()[1])
        resident.append(pages * resource.getpagesize() / 1e6)

    run_worker(job, measure)

    # The first epochs fill caches and pools.
    assert resident[-1] - resident[2] < 0.02 * resident[2], resident
