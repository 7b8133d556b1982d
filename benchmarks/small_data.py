"""Time of every stage on small data: 3,200 reviews of 400 users, whose catalogue grows as time passes.

python -m benchmarks.small_data FOLDER [CHECKOUT] [section.key=value ...]

CHECKOUT is another checkout to time, such as an older commit. Each stage is submitted as its own job, as a user would.
Processor seconds are those of the job's control group (version 1), with all processes that it starts.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGES = ("ingest", "prepare", "train", "evaluate")
NUM_USERS, NUM_EVENTS, NUM_DAYS = 400, 8, 600
SETTINGS = {
    "name": "small",
    "source.kind": "files",
    "preparation.min_interactions": 2,
    "preparation.num_test_negatives": 20,
    "model.name": "gru",
    "training.run": "small",
    "training.num_workers": 1,
    "training.num_epochs": 2,
}


def write_reviews(path: Path) -> None:
    """Each user comes one day, and stays with items that are new then: item numbers rise with their first day."""
    draw = random.Random(1)
    lines = []
    for user in range(NUM_USERS):
        first = draw.randrange(NUM_DAYS - NUM_EVENTS * 7)
        for event in range(NUM_EVENTS):
            day = first + event * draw.randint(1, 7)
            review = {"reviewerID": f"U{user:04d}", "asin": f"B{day // 3 + draw.randrange(20):05d}", "overall": 5.0}
            lines.append(json.dumps(review | {"unixReviewTime": 1_400_000_000 + day * 86_400}))
    path.write_text("\n".join(lines) + "\n")


def group() -> Path | None:
    """A control group whose processor time is counted; None where this user may not make one."""
    folder = Path(f"/sys/fs/cgroup/cpuacct/seqrec-small-data-{os.getpid()}")
    try:
        folder.mkdir()
    except OSError:
        return None
    return folder


def main(folder: Path, checkout: Path, overrides: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_reviews(folder / "reviews.json")
    settings = {**SETTINGS, "workdir": folder / "work", "source.reviews": folder / "reviews.json"}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    words += [word for override in overrides for word in ("--set", override)]
    counted = group()
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    for stage in STAGES:
        enter = "" if counted is None else f"echo $$ >{counted}/cgroup.procs; "
        before, started = 0 if counted is None else int((counted / "cpuacct.usage").read_text()), time.monotonic()
        command = ["sh", "-c", f'{enter}exec "$@"', "sh", str(checkout / "spark-submit.sh"), stage, *words]
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        seconds = f"{time.monotonic() - started:.1f} s"
        if counted is not None:
            seconds += f", {(int((counted / 'cpuacct.usage').read_text()) - before) / 1e9:.1f} s of processor time"
        print(f"{stage}: {seconds}", *[line for line in done.stderr.splitlines() if "rows:" in line], flush=True)
    if counted is not None:
        counted.rmdir()


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if "=" not in word]
    place = Path(words[1]).resolve() if len(words) > 1 else ROOT
    main(Path(words[0]).resolve(), place, [word for word in sys.argv[1:] if "=" in word])
