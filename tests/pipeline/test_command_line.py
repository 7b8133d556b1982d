import errno
import os

import pytest

from seqrec.core.errors import DataError
from seqrec.pipeline.command_line import run_action, understand
from seqrec.pipeline.config import load_run_config
from seqrec.pipeline.run import plan_steps
from seqrec.pipeline.stages import STAGES


def config_of(kind):
    return load_run_config(None, [f"source.kind={kind}"])


def test_the_help_of_the_pipeline_has_the_keys_of_all_its_stages():
    stages = {step.job for kind in ("synthetic", "download") for step in plan_steps(config_of(kind))}

    sections = {section for stage in stages for section in STAGES[stage].reads}

    assert {"source", "download", "synthesis", "preparation", "model", "training", "evaluation"} <= sections
    assert sections <= set(STAGES["pipeline"].reads)


def test_an_error_of_ours_is_one_line_and_status_1(capsys):
    def fail(_):
        raise DataError("reviews.json: no line holds a review. Check the path.")

    with pytest.raises(SystemExit) as ended:
        run_action("ingest", "jobs/ingest.py", fail, [])

    assert ended.value.code == 1
    assert capsys.readouterr().err == "seqrec ingest: error: reviews.json: no line holds a review. Check the path.\n"


def test_a_fault_of_the_code_keeps_its_traceback():
    def fail(_):
        raise KeyError("item")

    with pytest.raises(KeyError):
        run_action("ingest", "jobs/ingest.py", fail, [])


def test_success_returns_and_does_not_exit():
    seen = []

    run_action("ingest", "jobs/ingest.py", lambda config: seen.append(config.run.name), ["--set", "name=mine"])

    assert seen == ["mine"]


def test_an_interrupt_says_how_to_go_on(capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        run_action("train", "jobs/train.py", interrupt, [])

    assert ended.value.code == 130
    assert "run the same command again" in capsys.readouterr().err


def test_a_full_disk_met_by_spark_is_one_line_with_the_workdir(spark, tmp_path):
    def full_disk(rows):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(Exception, match="No space left on device") as raised:
        spark.range(1).rdd.foreach(full_disk)

    assert str(understand(raised.value, "/data/work")).startswith("/data/work or Spark's local folder")
    assert "the disk is full" in str(understand(raised.value, "/data/work"))


def test_an_error_of_ours_raised_in_a_worker_of_spark_keeps_its_line(spark):
    def fail(rows):
        raise DataError("part-7: 3 rows are missing. Prepare the data again.")

    with pytest.raises(Exception, match="DataError") as raised:
        spark.range(1).rdd.foreach(fail)

    assert str(understand(raised.value, "")) == "part-7: 3 rows are missing. Prepare the data again."


def test_any_other_error_is_not_explained_away(spark):
    with pytest.raises(Exception, match="cannot be resolved") as raised:
        spark.range(1).select("nothing")

    assert understand(raised.value, "") is None
