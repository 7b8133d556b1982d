"""Tries settings of a published config with one seed, by validation alone: a line of a table for each trial.

    python -m benchmarks.published_search CONFIG WORKDIR TRIALS [THREADS]

WORKDIR holds `prepared/<name>` by CONFIG (see published_protocol.py). TRIALS is a text file: each line is the name of a
trial and the settings that differ from CONFIG, as in `average training.weight_average=0.99`. Lines that are added while
the script runs are tried too. Test is never touched. What is done already is skipped.
"""

import shlex
import subprocess
import sys
import time
from pathlib import Path

from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.pipeline.config import load_run_config
from seqrec.pipeline.stages import run_stage


def main(config: str, workdir: str, trials: str, threads: str = "2") -> None:
    print("| trial | settings | epochs | best epoch | validation hit rate@10 | NDCG@10 | seconds |")
    print("|---|---|---|---|---|---|---|", flush=True)
    done: set[str] = set()
    while line := next((line for line in read_trials(trials) if line.split()[0] not in done), None):
        done.add(line.split()[0])
        command = [sys.executable, "-m", "benchmarks.published_search", "--one", config, workdir, threads, line]
        subprocess.run(command, check=False)  # A trial that fails says why; the others go on.


def read_trials(path: str) -> list[str]:
    lines = (line.strip() for line in Path(path).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def try_one(config: str, workdir: str, threads: str, line: str) -> None:
    """Trains a trial in this process, and prints its line of the table."""
    name, *settings = shlex.split(line)
    base = load_run_config(config).run
    run = f"{base.name}-trial-{name}"
    common = [f"workdir={workdir}", "seed=1", f"training.run={run}", f"training.num_threads={threads}"]
    began = time.monotonic()
    loaded = load_run_config(config, [*common, *settings])
    run_stage("train", loaded)
    manifest = Dataset(Storage(loaded.run.workdir), "runs", loaded.run.training.run or run).require("train")
    best, metric = manifest.details["best"], manifest.details["metric"]
    figures = f"{best[metric.replace('ndcg', 'hit_rate')]:.4f} | {best[metric]:.4f} | {time.monotonic() - began:,.0f} |"
    print(f"| {name} | {' '.join(settings)} | {manifest.details['epochs']} | {best['epoch']} | {figures}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        try_one(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
