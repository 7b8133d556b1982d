"""A small run through every stage by `spark-submit`, on any storage; `contents` shows what it has made."""

import os
import subprocess
from pathlib import Path

import numpy as np

from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage

ROOT = Path(__file__).parents[2]
RUN = "small-a2svd"
SETTINGS = {
    "name": "small",
    "synthesis.num_reviews": 6_000,
    "synthesis.num_users": 600,
    "synthesis.num_items": 200,
    "preparation.num_test_negatives": 9,
    "preparation.spark.sql.shuffle.partitions": 2,
    "training.num_epochs": 2,
    "training.num_streams": 2,
    "training.num_workers": 2,
    "training.num_threads": 1,
    "training.checkpoint_every_steps": 5,
    "tuning.num_trials": 2,
    "tuning.num_epochs": 1,
    "tuning.num_compared_seeds": 0,
    "pipeline.one_process": "true",
}
JOBS = ("pipeline", "candidates", "recommend", "export", "tune")


def run_stages(
    workdir: str, jobs: tuple[str, ...] = JOBS, options: tuple[str, ...] = (), environment: dict[str, str] | None = None
) -> str:
    """Runs the jobs one after the other; returns all that they printed.

    Raises:
        AssertionError: a job failed; the message has the end of its output.
    """
    said = ""
    for job in jobs:
        command = [str(ROOT / "spark-submit.sh"), job]
        for key, value in {"workdir": workdir, **SETTINGS}.items():
            command += ["--set", f"{key}={value}"]
        whole = {**os.environ, **(environment or {})}
        done = subprocess.run([*command, "--", *options], capture_output=True, text=True, env=whole)
        said += done.stdout + done.stderr
        assert done.returncode == 0, f"{job}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return said


def contents(storage: Storage, folder: Path) -> dict[str, object]:
    """What the stages have made, without what depends on where: digests, rows, files."""
    found: dict[str, object] = {}
    for kind, name in (("ingested", "small"), ("prepared", "small"), ("candidates", "small"), ("recommendations", RUN)):
        if (manifest := Dataset(storage, kind, name).manifest()) is not None:
            tables = manifest.tables.items()
            found[kind] = {t: (one.rows, one.content if kind != "recommendations" else "") for t, one in tables}
    run = Dataset(storage, "runs", RUN).require("train")
    found["exported"] = len(storage.list_files(f"runs/{RUN}/export")) > 3
    found["evaluated"] = len(storage.list_files(f"runs/{RUN}/evaluations")) > 0
    found["tuned"] = storage.exists(f"tuning/{RUN}/_manifest.json")
    storage.download(f"runs/{RUN}/{run.id}/weights.npz", folder / "weights.npz")
    with np.load(folder / "weights.npz", allow_pickle=False) as arrays:
        found["weights"] = {name: arrays[name] for name in arrays.files}
    return found


def assert_same(one: dict[str, object], other: dict[str, object]) -> None:
    """The same digests, rows and files, and weights within the error of float32 sums."""
    weights, others = one.pop("weights"), other.pop("weights")
    assert one == other
    assert isinstance(weights, dict)
    assert isinstance(others, dict)
    assert set(weights) == set(others)
    for name, values in weights.items():
        np.testing.assert_allclose(values, others[name], atol=1e-5, err_msg=name)
