"""A study of each model on Amazon Beauty, killed once and resumed: trials, pruning, time, and what the winner is worth.

    PYTHONPATH=. python -m benchmarks.tuning_beauty --workdir work --trials 20 --models a2svd sli_rec

Needs `prepared/beauty` in the workdir (see conf/tune_beauty.yaml). The study's process gets SIGKILL when `--kill-after`
or more trials have begun and one of the later ones has trained an epoch; then the same command resumes. Prints a table
in Markdown.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def command(arguments: argparse.Namespace, model: str) -> list[str]:
    settings = {
        "workdir": arguments.workdir,
        "model.name": model,
        "tuning.num_trials": arguments.trials,
        "tuning.num_compared_seeds": arguments.seeds,
        "evaluation.baselines": "[]",
    }
    given = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    more = [part for override in arguments.overrides for part in ("--set", override)]
    return [sys.executable, str(ROOT / "jobs/tune.py"), "--config", str(ROOT / "conf/tune_beauty.yaml"), *given, *more]


def start(arguments: argparse.Namespace, model: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
    return subprocess.Popen(command(arguments, model), env=environment, cwd=ROOT)


def kill_once(process: subprocess.Popen[bytes], study: Path, after: int) -> int:
    """Kills the study in the middle of a trial; returns that trial's number, -1 if the study ended first.

    Any trial from `after` on will do: one that is pruned after its first epoch is never seen in its middle.
    """
    while process.poll() is None:
        for path in sorted(study.glob("*/trials/*/trial.json")):
            record = json.loads(path.read_text())
            if record["number"] >= after and record["rows"] and record["state"] == "running":
                process.send_signal(signal.SIGKILL)
                process.wait()
                return int(record["number"])
        time.sleep(0.05)
    return -1


def run_study(arguments: argparse.Namespace, model: str) -> dict[str, Any]:
    study = Path(arguments.workdir) / "tuning" / f"beauty-{model}"
    started = time.monotonic()
    process = start(arguments, model)
    killed = kill_once(process, study, arguments.kill_after) if arguments.kill_after >= 0 else -1
    if killed >= 0:
        process = start(arguments, model)
    if process.wait() != 0:
        raise SystemExit(f"the study of {model} ended with exit status {process.returncode}")
    manifest = json.loads((study / "_manifest.json").read_text())
    records = [json.loads(p.read_text()) for p in sorted(study.glob(f"{manifest['id']}/trials/*/trial.json"))]
    seconds = time.monotonic() - started
    return {"model": model, "manifest": manifest, "records": records, "killed": killed, "seconds": seconds}


def print_study(result: dict[str, Any]) -> None:
    manifest, records = result["manifest"], result["records"]
    counts, best, metric = manifest["counts"], manifest["details"]["best"], manifest["details"]["metric"]
    trained = sum(record["seconds"] for record in records)
    killed = f"killed within trial {result['killed'] + 1}, resumed" if result["killed"] >= 0 else "not killed"
    print(f"\n## {result['model']}\n\n- {killed}; {result['seconds']:.0f} s in all, {trained:.0f} s of trials")
    print(f"- {counts['trials']} trials: {counts.get('done', 0)} to the end, {counts['pruned']} pruned", end="")
    print(f", {counts.get('failed', 0)} failed; {counts['epochs']} epochs")
    print(f"- best: trial {best['trial'] + 1}, validation {metric} {best['value']:.4f} at epoch {best['epoch']}")
    print(f"- default (trial 1): validation {metric} {max(records[0]['best_values'], default=float('nan')):.4f}")
    print(f"- setting: `{json.dumps(best['settings'])}`")
    comparison = manifest["details"]["comparison"]
    if comparison is None:
        return
    count = len(comparison["seeds"])
    print(
        f"\nTest split, {comparison['num_rows']} rows, {comparison['num_negatives']} negatives, {count} seeds each:\n"
    )
    print("| metric | winner | default | lead | interval | p-value | seeds ahead |\n|---|---|---|---|---|---|---|")
    for name, m in comparison["metrics"].items():
        low, high = m["interval"]
        print(
            f"| {name} | {sum(m['winner']) / count:.4f} | {sum(m['default']) / count:.4f} | {m['difference']:+.4f} | "
            f"[{low:+.4f}, {high:+.4f}] | {m['p_value']:.4f} | {m['num_seeds_ahead']} of {count} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--models", nargs="+", default=["a2svd", "sli_rec"])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kill-after", type=int, default=5, help="trials before the one that is cut off; -1: no kill")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="section.key=value")
    arguments = parser.parse_args()
    arguments.workdir = str(Path(arguments.workdir).absolute())
    results = [run_study(arguments, model) for model in arguments.models]
    print(f"\n# Tuning on Amazon Beauty\n\n{os.cpu_count()} cores; command: `{' '.join(sys.argv)}`")
    for result in results:
        print_study(result)


if __name__ == "__main__":
    main()
