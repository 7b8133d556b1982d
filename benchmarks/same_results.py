"""Two checkouts of the project, or two environments, the same commands: are their results equal, to the bit?

    python -m benchmarks.same_results OLD_CHECKOUT NEW_CHECKOUT FOLDER [--data DATA] [--cases demo gift_cards beauty]
        [--new-python /tmp/spark4/bin/python] [--new-spark "--conf spark.sql.ansi.enabled=false"] [--models a2svd]

Both checkouts run in the environment of this Python, or of the ones given, with one training worker and one thread, so
that equal programs give equal bits. `--new-spark` and `--new-set` hold further options of spark-submit, and settings.
DATA holds `Gift_Cards_5.json.gz`, `meta_Gift_Cards.json.gz` and `reviews_Beauty_5.json.gz`. The script compares the
recipe, the content digests, the counts and what was measured of every manifest, the weights of every run, the metrics
of each evaluation, and the rows of the lists. The table says "equal" or where the first difference is; exit status 1 if
any. A case that FOLDER holds already is not run again.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

MODELS = ("a2svd", "sli_rec", "gru")
EVERYWHERE = {
    "pipeline.one_process": "true",
    "training.num_workers": "1",
    "training.num_threads": "1",
    "training.num_epochs": "2",
    "evaluation.num_replicates": "100",
    "evaluation.tensorflow_threads": "1",
}
CASES = {
    "demo": ("conf/demo.yaml", {}),
    "gift_cards": (
        "conf/demo.yaml",
        {
            "source.kind": "files",
            "source.reviews": "{data}/Gift_Cards_5.json.gz",
            "source.metadata": "{data}/meta_Gift_Cards.json.gz",
        },
    ),
    "beauty": ("conf/beauty.yaml", {"source.reviews": "{data}/reviews_Beauty_5.json.gz", "training.num_epochs": "1"}),
}
NOT_COMPARED = {"created", "evaluated", "seconds", "versions", "id", "files"}  # They say when and where, not what.
SUMS = {"hits", "gain"}  # Counts of lists that only older checkouts keep; their means, in `measured`, are compared.


@dataclass(frozen=True)
class Side:
    """A checkout, and what it runs with."""

    checkout: Path
    python: str
    spark: tuple[str, ...]  # Options of spark-submit.
    settings: tuple[str, ...]


def run_case(side: Side, case: str, workdir: Path, data: str, models: list[str]) -> None:
    """The pipeline for all models, then candidates and lists, measured on the test split."""
    config, settings = CASES[case]
    settings = {**EVERYWHERE, "pipeline.models": f"[{', '.join(models)}]", **settings, "workdir": str(workdir)}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value.format(data=data)}")]
    words += [word for each in side.settings for word in ("--set", each)]
    measured = ["--set", "candidates.histories=test", "--set", "recommendation.histories=test"]
    _submit(side, ["pipeline", "--config", config, *words])
    _submit(side, ["candidates", "--config", config, *words, *measured])
    for model in models:
        _submit(side, ["recommend", "--config", config, *words, *measured, "--set", f"model.name={model}"])


def _submit(side: Side, words: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(side.checkout), "SEQREC_ENV": "current"}
    environment |= dict.fromkeys(("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"), side.python)
    environment["PATH"] = f"{Path(side.python).parent}{os.pathsep}{environment['PATH']}"
    command = [side.python, "-m", "seqrec.pipeline", *words, "--", *side.spark]
    done = subprocess.run(command, cwd=side.checkout, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{side.checkout}: {' '.join(words)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def results_of(workdir: Path) -> dict[str, Any]:
    """What a workdir holds, by name: everything that has to be equal."""
    found: dict[str, Any] = {}
    for path in sorted(workdir.rglob("_manifest.json")):
        manifest = json.loads(path.read_text())
        name = str(path.parent.relative_to(workdir))
        # Spark draws the names of the histories' files anew each time, and they are part of these recipes.
        recipe = "settings" if "files" in manifest["inputs"] else "recipe"
        for part in (recipe, "content", "counts", "tables"):
            found[f"{name}: {part}"] = without(manifest[part], NOT_COMPARED | SUMS)
        found[f"{name}: measured"] = manifest["details"].get("measured")
        attempt = path.parent / manifest["id"]
        if (attempt / "weights.npz").exists():
            with np.load(attempt / "weights.npz") as weights:
                found[f"{name}: weights"] = {key: weights[key].tobytes().hex() for key in weights.files}
        if name.startswith("recommendations/"):
            rows = [row for file in sorted(attempt.rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]
            found[f"{name}: rows"] = sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)
    for path in sorted(workdir.glob("runs/*/evaluations/*.json")):
        found[f"{path.relative_to(workdir)}"] = without(json.loads(path.read_text()), NOT_COMPARED)
    return found


def without(value: Any, names: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: without(item, names) for key, item in value.items() if key not in names}
    return [without(item, names) for item in value] if isinstance(value, list) else value


def first_difference(old: Any, new: Any, place: str = "") -> str | None:
    """Where two results differ first; None where they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in old or key not in new:
                return f"{place}/{key} is only in the {'new' if key in new else 'old'}"
            if (found := first_difference(old[key], new[key], f"{place}/{key}")) is not None:
                return found
        return None
    if old == new:
        return None
    return f"{place}: {str(old)[:60]} and {str(new)[:60]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="../shared/data")
    for side in ("old", "new"):
        parser.add_argument(f"--{side}-python", default=sys.executable)
        parser.add_argument(f"--{side}-spark", default="")
        parser.add_argument(f"--{side}-set", nargs="*", default=[])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    data, num_different = str(Path(arguments.data).resolve()), 0
    print("| case | result | old against new |\n|---|---|---|")
    for case in arguments.cases:
        found = []
        for side in ("old", "new"):
            workdir = (arguments.folder / side / case).resolve()
            if not (workdir / "complete").exists():
                given = vars(arguments)
                what = Side(
                    given[side].resolve(),
                    given[f"{side}_python"],
                    tuple(shlex.split(given[f"{side}_spark"])),
                    tuple(given[f"{side}_set"]),
                )
                run_case(what, case, workdir, data, arguments.models)
                (workdir / "complete").touch()
            found.append(results_of(workdir))
        old, new = found
        for name in sorted(old.keys() | new.keys()):
            difference = first_difference(old.get(name, "nothing"), new.get(name, "nothing"))
            num_different += difference is not None
            print(f"| {case} | {name} | {difference or 'equal'} |", flush=True)
    return 1 if num_different else 0


if __name__ == "__main__":
    sys.exit(main())
