"""The Databricks asset bundle: what can be checked of it without a workspace."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from seqrec.pipeline.command_line import parse_arguments
from seqrec.pipeline.config import load_run_config
from seqrec.pipeline.stages import STAGES

FOLDER = Path(__file__).parents[2] / "conf" / "databricks"


@pytest.fixture(scope="module")
def bundle() -> dict[str, Any]:
    """The bundle, its variables and job parameters replaced by their defaults."""
    text = (FOLDER / "databricks.yml").read_text(encoding="utf-8")
    plain = yaml.safe_load(text)
    values = {f"${{var.{name}}}": str(variable["default"]) for name, variable in plain["variables"].items()}
    (job,) = plain["resources"]["jobs"].values()
    values |= {f"{{{{job.parameters.{each['name']}}}}}": each["default"] for each in job["parameters"]}
    for _ in range(2):  # A parameter's default is a variable.
        for mark, value in values.items():
            text = text.replace(mark, value)
    return yaml.safe_load(text)


@pytest.fixture(scope="module")
def job(bundle: dict[str, Any]) -> dict[str, Any]:
    (job,) = bundle["resources"]["jobs"].values()
    return job


def test_nothing_refers_to_what_is_not_defined(bundle: dict[str, Any]) -> None:
    left = re.findall(r"\$\{.*?\}|\{\{.*?\}\}", yaml.safe_dump(bundle))

    assert set(left) <= {"${workspace.current_user.userName}", "${bundle.name}", "${bundle.target}"}


def test_the_job_has_one_task_for_each_stage_after_those_it_reads(job: dict[str, Any]) -> None:
    tasks = {task["task_key"]: task for task in job["tasks"]}
    before = {key: {each["task_key"] for each in task.get("depends_on", [])} for key, task in tasks.items()}

    assert set(tasks) == {"download", "ingest", "prepare", "train", "evaluate", "candidates", "recommend", "export"}
    assert set(tasks) <= set(STAGES)
    assert all(task["python_wheel_task"]["entry_point"] == key for key, task in tasks.items())
    assert before["ingest"] == {"download"}
    assert before["prepare"] == {"ingest"}
    assert before["train"] == before["candidates"] == {"prepare"}
    assert before["recommend"] == {"train", "candidates"}


def test_every_task_takes_its_parameters(job: dict[str, Any]) -> None:
    for task in job["tasks"]:
        arguments = parse_arguments(task["task_key"], task["python_wheel_task"]["parameters"])
        run = load_run_config(arguments.config, arguments.overrides).run
        assert run.workdir.startswith("/Volumes/")
        if task["task_key"] == "train":
            assert run.training.num_streams % run.training.num_workers == 0
            assert run.training.launcher == "spark"


def test_only_training_has_gpus_and_no_cluster_is_shared(job: dict[str, Any]) -> None:
    clusters = {cluster["job_cluster_key"]: cluster["new_cluster"] for cluster in job["job_clusters"]}
    used = {task["task_key"]: task["job_cluster_key"] for task in job["tasks"]}

    assert {key for key, cluster in used.items() if "gpu" in clusters[cluster]["spark_version"]} == {"train"}
    assert {cluster["data_security_mode"] for cluster in clusters.values()} == {"SINGLE_USER"}
    assert {cluster["spark_version"].partition(".x")[0] for cluster in clusters.values()} == {"15.4"}
    assert clusters["gpu"]["spark_conf"]["spark.task.maxFailures"] == "1"


def test_databricks_own_classes_take_the_job(job: dict[str, Any]) -> None:
    jobs = pytest.importorskip("databricks.bundles.jobs", reason="needs the package databricks-bundles")

    taken = jobs.Job.from_dict(job)

    assert [task.task_key for task in taken.tasks] == [task["task_key"] for task in job["tasks"]]
    with pytest.raises(Exception, match="max_retrys"):  # It would not take just anything.
        jobs.Job.from_dict({**job, "tasks": [{**job["tasks"][0], "max_retrys": 1}]})
