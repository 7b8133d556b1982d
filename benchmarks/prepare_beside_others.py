"""`prepare` beside DuckDB, Polars and the reference on the same reviews, in the same run.

    python benchmarks/prepare_beside_others.py WORKDIR NUM_REVIEWS PYTHON_WITH_DUCKDB_AND_POLARS [PYTHON_OF_REFERENCE]

The reviews are those of prepare_full_size.py, which is run first when WORKDIR lacks them. Each engine runs in a
process of its own, one after the other. Seconds count from the start of the process to its end; CPU seconds and
resident memory are of the whole process tree, so that a busy machine does not decide. The reference gets
REFERENCE_REVIEWS of them only (default 200,000): its time grows with every user's history squared.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent


def measure(command: list[str], environment: dict[str, str]) -> dict[str, float | str]:
    """Runs a command; its seconds, CPU seconds, highest resident memory of the tree, and last line."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    peak, cpu_of = 0, {}
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()
    while process.poll() is None:
        resident = 0
        try:
            tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        for child in tree:
            try:
                resident += child.memory_info().rss
                cpu_of[child.pid] = sum(child.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, resident)
        time.sleep(0.2)
    code = process.wait()
    reader.join()
    return {
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(sum(cpu_of.values()), 1),
        "peak_gib": round(peak / 2**30, 2),
        "last": (lines[-1].strip() if lines else "") if code == 0 else f"FAILED ({code}): {' '.join(lines[-2:])[:200]}",
    }


def main() -> None:
    workdir, num_reviews, python = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    manifest = json.loads((workdir / f"ingested/{num_reviews}/_manifest.json").read_text())
    reviews = workdir / Path(manifest["tables"]["reviews"]["files"][0]["path"]).parent
    here = os.environ | {"SEQREC_BENCHMARK_CHILD": "1", "PYSPARK_PYTHON": sys.executable}
    commands = {
        "seqrec": [sys.executable, str(HERE / "prepare_full_size.py"), str(workdir), num_reviews],
        "duckdb": [python, str(HERE / "prepare_others.py"), "duckdb", str(reviews), str(workdir / "out_duckdb")],
        "polars": [python, str(HERE / "prepare_others.py"), "polars", str(reviews), str(workdir / "out_polars")],
    }
    if len(sys.argv) > 4:
        few = workdir / "few"
        write_few(reviews, few, int(os.environ.get("REFERENCE_REVIEWS", "200000")))
        commands["reference"] = [
            sys.argv[4],
            str(HERE / "prepare_others.py"),
            "reference",
            str(few),
            str(workdir / "out_reference"),
        ]
    print("| engine | seconds | CPU seconds | peak GiB | says |\n|---|---|---|---|---|")
    for engine, command in commands.items():
        figures = measure(command, here)
        print(f"| {engine} | {' | '.join(str(figure) for figure in figures.values())} |", flush=True)


def write_few(reviews: Path, folder: Path, number: int) -> None:
    """The first `number` reviews as the text that the reference makes of a raw file; all items of one category."""
    import pyarrow.dataset as ds

    folder.mkdir(exist_ok=True)
    table = ds.dataset(reviews, format="parquet").head(number, columns=["user_id", "item_id", "timestamp"])
    with (folder / "reviews_output").open("w") as lines:
        lines.writelines("\t".join(map(str, row.values())) + "\n" for row in table.to_pylist())
    with (folder / "meta_output").open("w") as lines:
        lines.writelines(f"{item}\tone\n" for item in table.column("item_id").unique().to_pylist())


if __name__ == "__main__":
    main()
