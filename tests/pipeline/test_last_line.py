"""The last line on the screen is ours, and what libraries say is in a log that is named."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.feed.prepared_data import write_prepared

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_loss_that_is_no_number_ends_in_our_line(num_workers: int, tmp_path: Path) -> None:
    write_prepared(tmp_path, num_users=400)
    settings = {
        "workdir": tmp_path,
        "name": "toy",
        "training.num_workers": num_workers,
        "training.num_streams": 4,
        "training.global_batch_size": 80,
        "model.max_history_length": 8,
        "training.optimizer.learning_rate": "1.0e+30",
    }
    command = [str(ROOT / "spark-submit.sh"), "train"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    # The screen shows both streams, and spark-submit makes one of them.
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )

    assert done.returncode == 1, done.stdout
    *before, log, last = done.stdout.splitlines()
    assert re.fullmatch(
        r"seqrec train: error: .*The loss is (nan|inf) between steps \d+ and \d+: lower "
        r"training.optimizer.learning_rate or set training.max_gradient_norm.",
        last,
    )
    noise = [line for line in before if re.search("absl|cuBLAS|cuInit|Traceback|java|Exception", line)]
    assert noise == []
    if num_workers > 1:
        named = re.fullmatch(r"seqrec train: what libraries wrote is in (.*)", log)
        assert named
        assert "Traceback" in Path(named[1]).read_text()
