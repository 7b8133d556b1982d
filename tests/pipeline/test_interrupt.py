"""A Ctrl-C reaches every process of a job at once: the shell's, Spark's and Python's."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Python works in Spark's tasks and the driver waits for them, as in most of a stage's time.
# A task that still runs when Spark stops may log that parts of Spark are gone; here that is logged for certain.
STAGE = """
import atexit
import time
from pathlib import Path
from seqrec.pipeline.command_line import run_action
from seqrec.tables.sessions import spark_session

def work(_):
    Path("AT_WORK").touch()
    time.sleep(60)

def stage(config):
    with spark_session("prepare") as spark:
        log = spark._jvm.org.apache.logging.log4j.LogManager.getLogger("org.apache.spark.storage.BlockManager")
        atexit.register(log.error, "stopped")
        spark.sparkContext.range(1).foreach(work)

run_action("prepare", __file__, stage, [])
"""


def start(command, **variables):
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # A process group of its own, as a shell gives to a command.
        # What a shell starts in the background ignores the signal, and so would all that the tests start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_an_interrupted_stage_says_one_line(tmp_path):
    (tmp_path / "stage.py").write_text(STAGE.replace("AT_WORK", str(tmp_path / "at_work")))
    quiet = f"spark.driver.extraJavaOptions=-Dlog4j2.configurationFile=file:{ROOT}/conf/log4j2.properties"

    process = start([shutil.which("spark-submit"), "--master", "local[1]", "--conf", quiet, tmp_path / "stage.py"])
    while process.poll() is None and not (tmp_path / "at_work").exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=200)

    said = [line for line in printed.splitlines() if " WARN " not in line]  # Warnings about the machine.
    assert said == ["seqrec prepare: interrupted; run the same command again to resume."]
    assert process.returncode == 130


def test_an_interrupt_while_a_job_is_being_submitted_is_one_line(tmp_path):
    slow = tmp_path / "yaml.py"  # In place of what is imported.
    slow.write_text(f"import pathlib, time; pathlib.Path('{tmp_path}/importing').touch(); time.sleep(60)")

    process = start([sys.executable, "-m", "seqrec.pipeline", "ingest"], PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    while process.poll() is None and not (tmp_path / "importing").exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=200)

    assert printed == "seqrec: interrupted; run the same command again.\n"
    assert process.returncode == 130
