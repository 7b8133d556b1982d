"""Builds and runs the `spark-submit` of one job: `python -m seqrec.pipeline JOB ...`.

Spark settings that matter to a stage (memory, task retries, speculation) are fixed when its driver starts. So each job
is submitted with the settings of its own stage. The user's options come last, and win.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from seqrec.core.errors import ConfigError, SeqrecError
from seqrec.core.machine import usable_cores, usable_memory
from seqrec.pipeline.cluster_environment import shipping_settings, wants_shipping
from seqrec.pipeline.command_line import Arguments, help_text, parse_arguments, report
from seqrec.pipeline.config import LoadedConfig, RunConfig, folder_of, load_run_config
from seqrec.pipeline.machine_environment import prepare_environment
from seqrec.pipeline.small_data import FAST_START, is_small
from seqrec.pipeline.stages import STAGES, Stage
from seqrec.scoring.library_log import name_log

ROOT = Path(__file__).parents[2]
OPTIONS_VARIABLE = "SEQREC_SPARK_OPTIONS"  # Passes the pipeline's spark-submit options on to its stages.

# Settings of every stage on every cluster; a `spark:` block or an option on the command line wins.
_EVERYWHERE = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.adaptive.enabled": "true",
    "spark.ui.showConsoleProgress": "false",
}
# Horovod's workers are tasks that must all run at the same time, and only once.
_TRAINING = {
    "spark.task.maxFailures": "1",
    "spark.speculation": "false",
    "spark.dynamicAllocation.enabled": "false",
}


def build_command(
    arguments: Arguments, config: LoadedConfig, options: list[str], shipped: Mapping[str, str] | None = None
) -> list[str]:
    """The whole `spark-submit` command of one job.

    Args:
        shipped: the Spark settings that bring this environment to a cluster; see `cluster_environment`.

    Raises:
        ConfigError: there is no spark-submit.
    """
    spark_submit = shutil.which("spark-submit")
    if spark_submit is None:
        raise ConfigError(
            "no spark-submit on the PATH: unset SEQREC_ENV to let seqrec make its own environment, or install pyspark."
        )
    settings = dict(_EVERYWHERE)
    stage = STAGES[arguments.job]
    if stage.starts_workers(config.run):
        settings |= _TRAINING
    block = config.spark.get(stage.section, {})
    command = [spark_submit]
    if _is_local(options, block):
        if not _gives(options, "--master", "spark.master") and "spark.master" not in block:
            command += ["--master", f"local[{_local_slots(stage, config.run)}]"]
        settings |= _local_settings(stage, config.run)
    settings |= _log_settings()
    if _is_local(options, block) and is_small(arguments.job, config.run):
        settings["spark.driver.extraJavaOptions"] += f" {FAST_START}"
    settings |= {**_object_store_settings(), **(shipped or {})}
    settings |= block
    for key, value in settings.items():
        if not _gives(options, {"spark.driver.memory": "--driver-memory"}.get(key, key), key):
            command += ["--conf", f"{key}={value}"]
    return [*command, *options, str(folder_of("jobs") / f"{arguments.job}.py"), *arguments.for_job()]


def session_settings(job: str, config: LoadedConfig) -> dict[str, str]:
    """Spark settings of a local session that a Python program starts for a job, and then keeps for others."""
    stage = STAGES[job]
    settings = _EVERYWHERE | _local_settings(Stage(section="", run="", reads=()), config.run)
    settings |= {"spark.master": f"local[{_local_slots(stage, config.run)}]", **_log_settings()}
    return {**settings, **_object_store_settings(), **config.spark.get(stage.section, {})}


def _local_settings(stage: Stage, run: RunConfig) -> dict[str, str]:
    return {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": f"{driver_memory_mb(stage, run)}m",
        "spark.ui.enabled": "false",
    }


def _log_settings() -> dict[str, str]:
    return {"spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile=file:{folder_of('conf')}/log4j2.properties"}


def driver_memory_mb(stage: Stage, run: RunConfig) -> int:
    """Heap of a local driver in MiB: a share of the memory that this machine, or its container, may use."""
    share = Stage.driver_share if run.pipeline.one_process else stage.driver_share
    return max(1024, int(usable_memory() * share) >> 20)


def _local_slots(stage: Stage, run: RunConfig) -> int:
    """Tasks that a local run does at once: one per core, and one for each training worker where those are tasks."""
    cores = usable_cores()
    return max(cores, run.training.num_workers) if stage.starts_workers(run) else cores


def _is_local(options: list[str], settings: dict[str, str]) -> bool:
    master = settings.get("spark.master", "local")
    for index, option in enumerate(options):
        if option == "--master" and index + 1 < len(options):
            master = options[index + 1]
        elif option.startswith("--master="):
            master = option.removeprefix("--master=")
        elif option.startswith("spark.master="):
            master = option.removeprefix("spark.master=")
    return master.startswith("local")


def _object_store_settings() -> dict[str, str]:
    """Points Spark to the S3 server that the environment names; Spark reads the credentials there itself."""
    from seqrec.core.storage import s3_endpoint  # Imports pyarrow, for which `--help` should not wait.

    endpoint = s3_endpoint()
    if endpoint is None:
        return {}
    return {
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.path.style.access": "true",  # Other servers seldom have a host name per bucket.
        "spark.executorEnv.AWS_ENDPOINT_URL": endpoint,
    }


def _shipped(arguments: Arguments, config: LoadedConfig, options: list[str]) -> dict[str, str]:
    """Settings that bring the environment to a cluster; none in local mode, or if the user gives such settings."""
    stage = STAGES[arguments.job]
    block = config.spark.get(stage.section, {})
    if _is_local(options, block) or not stage.uses_spark(config.run) or not wants_shipping():
        return {}
    if _gives(options, "--archives", "spark.archives") or _gives(
        options, "spark.pyspark.python", "spark.pyspark.python"
    ):
        return {}
    if {"spark.archives", "spark.pyspark.python"} & set(block):
        return {}
    if stage.starts_workers(config.run):  # Their Horovod must be in what is sent.
        from seqrec.training.workers.horovod_build import require_horovod

        require_horovod()
    return shipping_settings()


def _gives(options: list[str], flag: str, key: str) -> bool:
    """Whether the user's options give this setting."""
    return any(option == flag or option.startswith((f"{flag}=", f"{key}=")) for option in options)


def main(argv: list[str]) -> int:
    """Submits the job `argv[0]` in place of this process; returns the exit status of help or of an error."""
    if "--" in argv:
        index = argv.index("--")
        argv, options = argv[:index], argv[index + 1 :]
    else:
        options = json.loads(os.environ.get(OPTIONS_VARIABLE, "[]"))
    options = _in_two_words(options)
    job = argv[0] if argv else ""
    try:
        arguments = parse_arguments(job, argv[1:])
        if arguments.help:
            print(help_text(job, folder_of("jobs") / f"{job}.py"))
            return 0
        if _deploys_to_cluster(options):
            raise ConfigError(
                "--deploy-mode cluster: Spark refuses it for Python on a standalone cluster, and the pipeline submits "
                "its stages from where it runs. Leave it out: the driver then runs here (client mode)."
            )
        config = load_run_config(arguments.config, arguments.overrides)
        command = build_command(arguments, config, options, _shipped(arguments, config, options))
        prepare_environment(os.environ, is_local=_is_local(options, config.spark.get(STAGES[job].section, {})))
    except SeqrecError as error:
        return report(job, error)
    name_log(job)
    os.environ[OPTIONS_VARIABLE] = json.dumps(options)
    os.environ["PYTHONSAFEPATH"] = "1"  # Else Spark's workers import from the folder that the job is called in.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # More quiet than the stages' own setting (`scoring/tensorflow_process.py`): TensorFlow reports missing GPU
    # libraries as errors.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.execv(command[0], command)


def _in_two_words(options: list[str]) -> list[str]:
    """Writes `--conf=key=value` as `--conf key=value`; spark-submit takes both."""
    return [word for option in options for word in (option.split("=", 1) if option.startswith("--conf=") else [option])]


def _deploys_to_cluster(options: list[str]) -> bool:
    pairs = zip(options, options[1:], strict=False)
    given = {"--deploy-mode=cluster", "spark.submit.deployMode=cluster"}
    return bool(given & set(options)) or ("--deploy-mode", "cluster") in pairs
