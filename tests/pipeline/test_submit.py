import json
import subprocess
import sys
from pathlib import Path

import pytest

from seqrec.core.errors import ConfigError
from seqrec.pipeline import submit
from seqrec.pipeline.command_line import Arguments, parse_arguments
from seqrec.pipeline.config import RunConfig, load_run_config
from seqrec.pipeline.stages import STAGES

ROOT = Path(__file__).parents[2]


def command_of(job, overrides=(), options=()):
    return submit.build_command(Arguments(job, None, tuple(overrides)), load_run_config(None, overrides), list(options))


def settings_in(command):
    """The --conf settings as spark-submit understands them: the last one of a key wins."""
    pairs = [value.split("=", 1) for flag, value in zip(command, command[1:], strict=False) if flag == "--conf"]
    return dict(pairs)


def test_training_is_submitted_without_retries_or_speculation():
    settings = settings_in(command_of("train"))

    assert settings["spark.task.maxFailures"] == "1"
    assert settings["spark.speculation"] == "false"
    assert settings["spark.dynamicAllocation.enabled"] == "false"
    assert "spark.task.maxFailures" not in settings_in(command_of("prepare"))


def test_a_pipeline_in_one_process_has_trainings_settings_where_it_trains_with_several_workers():
    one_process = ["pipeline.one_process=true"]
    two_workers = [*one_process, "training.num_workers=2"]

    assert settings_in(command_of("pipeline", two_workers))["spark.task.maxFailures"] == "1"
    assert "spark.task.maxFailures" not in settings_in(command_of("pipeline", one_process))
    assert "spark.task.maxFailures" not in settings_in(command_of("prepare", two_workers))


def test_a_stage_is_submitted_with_the_spark_block_of_its_own_section():
    overrides = ["preparation.spark.sql.shuffle.partitions=7", "training.spark.executor.memory=9g"]

    settings = settings_in(command_of("prepare", overrides))

    assert settings["spark.sql.shuffle.partitions"] == "7"
    assert "spark.executor.memory" not in settings


def test_options_of_the_command_line_win_over_ours():
    command = command_of("prepare", options=["--driver-memory", "3g", "--conf", "spark.ui.enabled=true"])

    assert "spark.driver.memory" not in settings_in(command)
    assert settings_in(command)["spark.ui.enabled"] == "true"


def test_a_local_run_has_a_slot_for_every_training_worker():
    command = command_of("train", ["training.num_workers=64", "training.num_streams=64"])

    assert command[command.index("--master") + 1] == "local[64]"


def test_tuning_has_what_training_needs_where_it_compares_with_several_workers():
    workers = ["training.num_workers=64", "training.num_streams=64"]
    command, alone = command_of("tune", workers), command_of("tune", [*workers, "tuning.num_compared_seeds=0"])

    assert command[command.index("--master") + 1] == "local[64]"
    assert settings_in(command)["spark.task.maxFailures"] == "1"
    assert alone[alone.index("--master") + 1] != "local[64]"
    assert "spark.task.maxFailures" not in settings_in(alone)
    assert "spark.task.maxFailures" not in settings_in(command_of("tune"))


def starts_fast(job, overrides, options=()):
    return "TieredStopAtLevel=1" in settings_in(command_of(job, overrides, options))["spark.driver.extraJavaOptions"]


def test_a_jvm_for_small_data_has_one_compiler(tmp_path):
    raw = tmp_path / "reviews.json"
    files = [f"workdir={tmp_path}", "name=small", "source.kind=files", f"source.reviews={raw}"]
    raw.write_bytes(b"x" * 1000)
    manifest = tmp_path / "ingested" / "small" / "_manifest.json"

    assert starts_fast("ingest", files)
    assert starts_fast("pipeline", files)
    assert not starts_fast("pipeline", ["synthesis.num_reviews=200000"])
    assert not starts_fast("ingest", files, ["--master", "spark://host:7077"])
    assert not starts_fast("ingest", [*files, f"source.metadata={tmp_path}/*.gz"])  # Whatever the pattern finds.
    assert not starts_fast("ingest", [*files, "source.metadata=s3://bucket/meta.json"])
    assert not starts_fast("prepare", files)  # There is nothing yet that says how much it is.
    manifest.parent.mkdir(parents=True)
    for reviews, small in ((3_200, True), (100_001, False)):
        manifest.write_text(json.dumps({"counts": {"reviews": reviews}}))
        assert starts_fast("prepare", files) == starts_fast("evaluate", files) == small
    assert starts_fast("synthesize", ["synthesis.num_reviews=3200", "synthesis.num_users=400"])
    with raw.open("wb") as file:
        file.truncate(1 << 25)
    assert not starts_fast("ingest", files)


def test_a_cluster_is_left_its_own_master_and_memory():
    command = command_of("prepare", options=["--master", "spark://host:7077"])

    assert command.count("--master") == 1
    assert "spark.driver.memory" not in settings_in(command)
    assert "spark.driver.host" not in settings_in(command)


def test_the_master_of_a_spark_block_is_left_as_it_is():
    local = command_of("prepare", ["preparation.spark.master='local[3]'"])
    cluster = command_of("prepare", ["preparation.spark.master=spark://host:7077"])

    assert "--master" not in [*local, *cluster]  # It would win over the setting.
    assert settings_in(local)["spark.master"] == "local[3]"
    assert settings_in(cluster)["spark.master"] == "spark://host:7077"
    assert "spark.driver.host" in settings_in(local)
    assert "spark.driver.host" not in settings_in(cluster)


def test_spark_goes_to_the_object_store_that_the_environment_names(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")

    command = command_of("prepare", ["preparation.spark.hadoop.fs.s3a.path.style.access=false"])

    assert settings_in(command)["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:9000"
    assert settings_in(command)["spark.hadoop.fs.s3a.path.style.access"] == "false"
    assert not any("hunter2" in word for word in command)  # Others may list processes.


def test_memory_of_the_driver_follows_the_machine(monkeypatch):
    monkeypatch.setattr(submit, "usable_memory", lambda: 64 << 30)

    assert submit.driver_memory_mb(STAGES["prepare"], RunConfig()) == 32 << 10
    assert 1024 <= submit.driver_memory_mb(STAGES["train"], RunConfig()) < 8 << 10


def test_arguments_go_on_to_the_job_as_they_came():
    arguments = parse_arguments("ingest", ["--config", "a.yaml", "--set", "seed=2", "--set", "name=x y"])

    assert arguments.for_job() == ["--config", "a.yaml", "--set", "seed=2", "--set", "name=x y"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["ingest", "--config", "nowhere.yaml"], "nowhere.yaml: no such config file"),
        (["ingest", "--set", "ingestion.max_reject_fracton=0"], "Did you mean 'max_reject_fraction'?"),
        (["ingest", "--sett", "a=1"], "unrecognized arguments: --sett a=1"),
        (["ingest", "--", "--deploy-mode", "cluster"], "Spark refuses it for Python"),
        (["ingest", "--", "--conf=spark.submit.deployMode=cluster"], "Spark refuses it for Python"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_1(capsys, argv, message):
    status = submit.main(argv)

    printed = capsys.readouterr().err
    assert status == 1
    assert message in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("workdir", "message"),
    [
        ("/data/exp[1]", r"^--set: workdir is /data/exp\[1\]: Spark takes \[ \] for a pattern. Choose"),
        ("s3:/bucket/a", "^--set: workdir is s3:/bucket/a: write s3://, or a folder's absolute path."),
        ("file:a", "^--set: workdir is file:a: write file://, or a folder's absolute path."),
        ("s3://bucket/{a}*", r"workdir is s3://bucket/{a}\*: Spark takes \* { } for a pattern"),
        ("work", r"workdir is .*/year 20\?\?/work: Spark takes \? for a pattern"),
    ],
)
def test_a_workdir_is_no_pattern(tmp_path, monkeypatch, workdir, message):
    (tmp_path / "year 20??").mkdir()
    monkeypatch.chdir(tmp_path / "year 20??")

    with pytest.raises(ConfigError, match=message):
        load_run_config(None, [f"workdir='{workdir}'"])


@pytest.mark.parametrize("job", sorted(STAGES))
def test_every_job_has_a_help_text(capsys, job):
    if not (ROOT / "jobs" / f"{job}.py").exists():
        pytest.fail(f"jobs/{job}.py is missing")

    status = submit.main([job, "--help"])

    assert status == 0
    assert f"./spark-submit.sh {job}" in capsys.readouterr().out


def test_help_waits_for_no_library_of_tables_spark_or_models():
    code = (
        "import sys; from seqrec.pipeline.submit import main; main(['train', '--help']); "
        "print([name for name in ('pyarrow', 'pandas', 'pyspark', 'tensorflow', 'rich') if name in sys.modules])"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.splitlines()[-1] == "[]"


def test_every_job_can_be_submitted():
    assert {path.stem for path in (ROOT / "jobs").glob("*.py")} - {"__init__"} == set(STAGES)


@pytest.mark.parametrize("argv", [[], ["nonsense"]])
def test_the_script_lists_the_jobs_when_it_gets_none_or_an_unknown_one(argv):
    done = subprocess.run([ROOT / "spark-submit.sh", *argv], capture_output=True, text=True)

    listed = [line.split()[0] for line in done.stderr.splitlines() if line.startswith("  ") and line[2].isalpha()]
    assert done.returncode == 2
    assert set(STAGES) <= set(listed)


def test_a_setting_may_stand_in_one_word(monkeypatch):
    seen = {}
    monkeypatch.setenv("SEQREC_SHIP", "never")
    monkeypatch.setattr(submit.os, "execv", lambda _, command: seen.update(command=command))

    submit.main(["prepare", "--", "--conf=spark.master=spark://host:7077", "--conf=spark.driver.memory=3g"])

    assert "--master" not in seen["command"]
    assert settings_in(seen["command"])["spark.master"] == "spark://host:7077"
    assert [word for word in seen["command"] if "spark.driver.memory" in word] == ["spark.driver.memory=3g"]


def test_options_reach_the_stages_that_the_pipeline_submits(monkeypatch):
    seen = {}
    monkeypatch.setenv(submit.OPTIONS_VARIABLE, json.dumps(["--master", "spark://host:7077"]))
    monkeypatch.setenv("SEQREC_SHIP", "never")
    monkeypatch.setattr(submit.os, "execv", lambda _, command: seen.update(command=command))

    submit.main(["prepare"])

    assert seen["command"][seen["command"].index("--master") + 1] == "spark://host:7077"
