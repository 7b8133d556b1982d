"""Every stage on a Spark standalone cluster of two separated workers, beside local mode, and with executors killed.

    python -m benchmarks.cluster_check REVIEWS FOLDER [--passes local cluster killed] [--stages ...]

REVIEWS is a file of raw reviews, such as reviews_Beauty_5.json.gz. Three passes go through the same stages: "local" in
local mode; "cluster" on two workers with namespaces of their own (see `local_cluster`; as root), to which the
environment is shipped as an archive; "killed" likewise, but in each stage a working executor is killed (kill -9). The
cluster's results must be those of local mode: the same content digests, and weights and metrics within float32 error.
Training that lost an executor must end with an error, and resume when it is run again, to the very same weights.
Stages that are done are not done again, so a pass may be cut off and resumed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.local_cluster import ROOT, LocalCluster
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage

NAME, MODEL = "beauty", "a2svd"
RUN = f"{NAME}-{MODEL}"
SETTINGS = {
    "model.name": MODEL,
    "ingestion.in_process_mb": 0,  # In tasks of the executors, which are killed.
    "training.num_streams": 2,
    "training.num_workers": 2,
    "training.num_epochs": 3,
    "training.checkpoint_every_steps": 50,
    "training.num_threads": 1,
    "tuning.executor": "spark",
    "tuning.num_trials": 2,
    "tuning.num_epochs": 1,
    "tuning.num_compared_seeds": 0,
}
STAGES = ("ingest", "prepare", "train", "evaluate", "candidates", "recommend", "tune", "export")
# Tasks of the whole stage after which an executor with a running task is killed.
TASKS_BEFORE_THE_BLOW = {"ingest": 1, "prepare": 8, "evaluate": 3, "candidates": 4, "recommend": 2, "tune": 0}
UI_PORT = 4877
TOLERANCE = 1e-4  # Weights and metrics may differ by this much: float32 numbers are summed in another order.


@dataclass
class Outcome:
    """One stage of one pass."""

    seconds: float
    blow: str = ""  # When the executor was killed, and what the job did.


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reviews", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--passes", nargs="+", default=["local", "cluster", "killed"])
    parser.add_argument("--stages", nargs="+", default=list(STAGES))
    chosen = parser.parse_args()
    cluster = LocalCluster(chosen.folder, num_workers=2, apart=True)
    raw = cluster.shared / "raw" / chosen.reviews.name
    raw.parent.mkdir(parents=True, exist_ok=True)
    if not raw.exists():
        shutil.copyfile(chosen.reviews, raw)
    check = Check(chosen.folder, cluster, raw)
    for name in chosen.passes:
        if name == "local":
            check.go_through(name, chosen.stages, ["--driver-memory", "2g"])
        else:
            with cluster:
                check.go_through(name, chosen.stages, [*cluster.options, "--conf", f"spark.ui.port={UI_PORT}"])
    return check.report(chosen.stages)


class Check:
    def __init__(self, folder: Path, cluster: LocalCluster, raw: Path):
        self.folder, self.cluster, self.raw = folder, cluster, raw

    def workdir(self, name: str) -> Path:
        return self.folder / "local" if name == "local" else self.cluster.shared / name

    def go_through(self, name: str, stages: list[str], options: list[str]) -> None:
        for stage in stages:
            done = self.outcomes(name)
            if stage in done:
                continue
            started = time.monotonic()
            blow = self._run(name, stage, options)
            done[stage] = Outcome(round(time.monotonic() - started, 1), blow)
            print(f"{name}: {stage}: {done[stage].seconds} s {blow}", flush=True)
            self._outcomes_file(name).write_text(json.dumps({key: asdict(one) for key, one in done.items()}))

    def outcomes(self, name: str) -> dict[str, Outcome]:
        file = self._outcomes_file(name)
        return {k: Outcome(**v) for k, v in json.loads(file.read_text()).items()} if file.exists() else {}

    def _outcomes_file(self, name: str) -> Path:
        return self.folder / f"outcomes-{name}.json"

    def _run(self, name: str, stage: str, options: list[str]) -> str:
        process = self._start(name, stage, options)
        blow = ""
        if name == "killed" and stage != "export":  # It has no executors.
            what = self._at_work_training if stage == "train" else self._at_work
            blow = self._strike(process, lambda: what(stage))
        status = process.wait()
        if stage == "train" and name == "killed":
            if status == 0:
                raise SystemExit("training lost an executor and yet ended well")
            blow += f"; ended with status {status}: {self._last_line(name, stage)}"
            status = self._start(name, stage, options).wait()
        if status != 0:
            raise SystemExit(f"{name}: {stage} ended with status {status}: see {self._log(name, stage)}")
        return blow

    def _start(self, name: str, stage: str, options: list[str]) -> subprocess.Popen:
        values = {"workdir": self.workdir(name), "source.reviews": self.raw, **SETTINGS}
        command = [str(ROOT / "spark-submit.sh"), stage, "--config", str(ROOT / "conf" / "beauty.yaml")]
        for key, value in values.items():
            command += ["--set", f"{key}={value}"]
        environment = {**os.environ, "SEQREC_SHIP": "always"}
        with self._log(name, stage).open("ab") as log:
            return subprocess.Popen([*command, "--", *options], stdout=log, stderr=log, env=environment)

    def _log(self, name: str, stage: str) -> Path:
        return self.folder / f"{name}-{stage}.log"

    def _last_line(self, name: str, stage: str) -> str:
        lines = [line for line in self._log(name, stage).read_text().splitlines() if "error:" in line]
        return lines[-1] if lines else "no error line"

    def _strike(self, process: subprocess.Popen, at_work: Callable[[], str]) -> str:
        """Kills the executor of the first worker as soon as `at_work` says what it is doing."""
        started = time.monotonic()
        while process.poll() is None:
            what = at_work()
            executors = self.cluster.executors(1)
            if what and executors:
                for executor in executors:
                    executor.kill()
                return f"killed after {time.monotonic() - started:.0f} s, {what}"
            time.sleep(0.2)
        return "NOT KILLED: the stage ended before"

    def _at_work(self, stage: str) -> str:
        """What the executor on the first worker is doing, by the driver's own page."""
        try:
            base = f"http://{self.cluster.host}:{UI_PORT}/api/v1/applications"
            [application] = _read_json(base)
            executors = _read_json(f"{base}/{application['id']}/executors")
        except (OSError, ValueError):
            return ""
        done = sum(executor["completedTasks"] for executor in executors)
        active = sum(e["activeTasks"] for e in executors if e["hostPort"].startswith("10.77.0.2:"))
        if active and done >= TASKS_BEFORE_THE_BLOW[stage]:
            return f"{done} tasks done, {active} running"
        return ""

    def _at_work_training(self, stage: str) -> str:
        for file in self.workdir("killed").glob(f"runs/{RUN}/*/workers/worker-1.json"):
            try:
                status = json.loads(file.read_text())
            except (OSError, ValueError):
                continue
            if status["phase"] == "training" and status["epoch"] >= 1 and status["step"] >= 5:
                return f"in epoch {status['epoch'] + 1}, step {status['step']}"
        return ""

    def report(self, stages: list[str]) -> int:
        """Prints the tables of times and of verdicts; returns the exit status."""
        passes = {name: self.outcomes(name) for name in ("local", "cluster", "killed")}
        print("\n| stage | local, s | cluster, s | with an executor killed, s | the blow |\n|---|---|---|---|---|")
        for stage in stages:
            times = [str(passes[name][stage].seconds) if stage in passes[name] else "" for name in passes]
            blow = passes["killed"][stage].blow if stage in passes["killed"] else ""
            print(f"| {stage} | {' | '.join(times)} | {blow} |")
        print("\n| compared with local mode | " + " | ".join(("cluster", "killed")) + " |\n|---|---|---|")
        failed = any("NOT KILLED" in outcome.blow for outcome in passes["killed"].values())
        for stage in stages:
            cells = []
            for name in ("cluster", "killed"):
                if stage in passes[name] and stage in passes["local"]:
                    verdict, is_good = self.compare(stage, "local", name)
                    failed |= not is_good
                    cells.append(verdict if is_good else f"**DIFFERENT** {verdict}")
                else:
                    cells.append("not run")
            print(f"| {stage} | {' | '.join(cells)} |")
        if "train" in passes["cluster"] and "train" in passes["killed"]:
            difference = largest_difference(*(self.weights(name) for name in ("cluster", "killed")))
            failed |= difference != 0
            print(f"| training that went on, with that on the cluster | | weights differ by {difference:g} |")
        return int(failed)

    def compare(self, stage: str, left: str, right: str) -> tuple[str, bool]:
        folders = {"ingest": "ingested", "prepare": "prepared", "candidates": "candidates"}
        if stage in folders:
            one, other = (self.manifest(name, folders[stage], NAME) for name in (left, right))
            tables = {t: (table.rows, table.content) for t, table in one.tables.items()}
            same = tables == {t: (table.rows, table.content) for t, table in other.tables.items()}
            return f"{sum(rows for rows, _ in tables.values()):,} rows in {len(tables)} tables, digests equal", same
        if stage == "train":
            difference = largest_difference(self.weights(left), self.weights(right))
            return f"weights differ by at most {difference:.1e}", difference <= TOLERANCE
        if stage == "evaluate":
            one, other = (self.metrics(name) for name in (left, right))
            difference = max(abs(one[key] - other[key]) for key in one)
            return f"{len(one)} metrics differ by at most {difference:.1e}", set(one) == set(other) and (
                difference <= TOLERANCE
            )
        if stage == "recommend":
            one, other = (self.lists(name) for name in (left, right))
            same = np.mean([one[key][0] == other[key][0] for key in one]) if set(one) == set(other) else 0.0
            return f"{len(one):,} rows, {same:.4%} of the items in the same place", bool(same > 0.999)
        if stage == "tune":
            one, other = (self.manifest(name, "tuning", RUN) for name in (left, right))
            return f"{one.counts['trials']} trials, {one.counts['epochs']} epochs", one.counts == other.counts
        files = [self._exported(name) for name in (left, right)]
        return f"{len(files[0])} files", files[0] == files[1]

    def manifest(self, name: str, folder: str, dataset: str) -> Manifest:
        return Dataset(Storage(str(self.workdir(name))), folder, dataset).require("the stage")

    def weights(self, name: str) -> dict[str, np.ndarray]:
        run = self.manifest(name, "runs", RUN)
        with np.load(self.workdir(name) / "runs" / RUN / run.id / "weights.npz", allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}

    def metrics(self, name: str) -> dict[str, float]:
        [file] = self.workdir(name).glob(f"runs/{RUN}/evaluations/*.json")
        content = json.loads(file.read_text())
        return {f"{r['name']} {metric}": v for r in content["results"] for metric, v in r["metrics"].items()}

    def lists(self, name: str) -> dict[tuple[str, int], tuple[Any, float]]:
        table = self.manifest(name, "recommendations", RUN).tables["lists"]
        rows: dict[tuple[str, int], tuple[Any, float]] = {}
        for file in table.files:
            columns = pq.read_table(self.workdir(name) / file.path).to_pydict()
            for user, rank, item, score in zip(
                *(columns[key] for key in ("user_id", "rank", "item_id", "score")), strict=True
            ):
                rows[user, rank] = (item, score)
        return rows

    def _exported(self, name: str) -> set[str]:
        folder = self.workdir(name) / "runs" / RUN / "export"
        return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def largest_difference(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    if set(one) != set(other):
        return float("inf")
    return max(float(np.max(np.abs(one[key].astype(np.float64) - other[key]), initial=0.0)) for key in one)


def _read_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=2) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
