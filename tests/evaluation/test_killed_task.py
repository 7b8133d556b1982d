import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_killed_task_changes_no_number(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.evaluation.killed_task", str(tmp_path)]

    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)

    assert ran.stdout.splitlines()[-1:] == ["killed True, same True"], ran.stderr[-3000:]
