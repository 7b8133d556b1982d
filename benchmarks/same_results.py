"""Two checkouts of the project, the same commands: are their results equal, to the bit?

    python -m benchmarks.same_results OLD_CHECKOUT NEW_CHECKOUT FOLDER [--data DATA] [--cases demo gift_cards beauty]

Both checkouts run in the environment of this Python, with one training worker and one thread, so that equal programs
give equal bits. DATA holds `Gift_Cards_5.json.gz`, `meta_Gift_Cards.json.gz` and `reviews_Beauty_5.json.gz`. The script
compares the recipe, the content digests, the counts and what was measured of every manifest, the weights of every run,
the metrics of each evaluation, and the rows of the lists. The table says "equal" or where the first difference is; exit
status 1 if any. A case that FOLDER holds already is not run again.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

MODELS = ("a2svd", "sli_rec", "gru")
EVERYWHERE = {
    "pipeline.one_process": "true",
    "pipeline.models": f"[{', '.join(MODELS)}]",
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


def run_case(checkout: Path, case: str, workdir: Path, data: str) -> None:
    """The pipeline for all models, then candidates and lists, measured on the test split."""
    config, settings = CASES[case]
    settings = {**EVERYWHERE, **settings, "workdir": str(workdir)}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value.format(data=data)}")]
    measured = ["--set", "candidates.histories=test", "--set", "recommendation.histories=test"]
    _submit(checkout, ["pipeline", "--config", config, *words])
    _submit(checkout, ["candidates", "--config", config, *words, *measured])
    for model in MODELS:
        _submit(checkout, ["recommend", "--config", config, *words, *measured, "--set", f"model.name={model}"])


def _submit(checkout: Path, words: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(checkout), "SEQREC_ENV": "current"}
    done = subprocess.run(
        [sys.executable, "-m", "seqrec.pipeline", *words], cwd=checkout, env=environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise SystemExit(f"{checkout}: {' '.join(words)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


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
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    data, num_different = str(Path(arguments.data).resolve()), 0
    print("| case | result | old against new |\n|---|---|---|")
    for case in arguments.cases:
        found = []
        for side in ("old", "new"):
            workdir = (arguments.folder / side / case).resolve()
            if not (workdir / "complete").exists():
                run_case(getattr(arguments, side).resolve(), case, workdir, data)
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
