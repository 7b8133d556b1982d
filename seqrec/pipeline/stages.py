"""The stages as functions of one loaded config: what the jobs call, and what the pipeline calls in one process.

Each imports its engine only when it runs: preparation needs no TensorFlow, training on one worker no Spark.
"""

from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.pipeline.config import LoadedConfig


def download(config: LoadedConfig) -> Manifest:
    """Writes `raw/<name>` from the public files; plain Python, no Spark."""
    from seqrec.sources.stage import run_download

    run = config.run
    return run_download(Storage(run.workdir), run.name, run.download, run.force)


def synthesize(config: LoadedConfig) -> Manifest:
    """Writes `raw/<name>`."""
    from seqrec.sources.stage import run_synthesize
    from seqrec.tables.session import spark_session

    run = config.run
    with spark_session("synthesize", config.spark.get("synthesis")) as spark:
        return run_synthesize(spark, Storage(run.workdir), run.name, run.synthesis, run.seed, run.force)


def ingest(config: LoadedConfig) -> Manifest:
    """Writes `ingested/<name>`."""
    from seqrec.sources.stage import run_ingest
    from seqrec.tables.session import spark_session

    run = config.run
    with spark_session("ingest", config.spark.get("ingestion")) as spark:
        return run_ingest(spark, Storage(run.workdir), run.name, run.source, run.ingestion, run.force)


def prepare(config: LoadedConfig) -> Manifest:
    """Writes `prepared/<name>`."""
    from seqrec.preparation.stage import run_prepare
    from seqrec.tables.session import spark_session

    run = config.run
    with spark_session("prepare", config.spark.get("preparation")) as spark:
        return run_prepare(spark, Storage(run.workdir), run.name, run.preparation, run.seed, run.force)


def train(config: LoadedConfig) -> Manifest:
    """Writes `runs/<run>`."""
    from seqrec.training.stage import run_train

    run = config.run
    return run_train(Storage(run.workdir), run.name, run.run, run.model, run.training, run.seed, run.force)


def evaluate(config: LoadedConfig) -> object:
    """Writes `runs/<run>/evaluations`."""
    from seqrec.evaluation.stage import run_evaluate
    from seqrec.tables.session import spark_session

    run = config.run
    with spark_session("evaluate", config.spark.get("evaluation")) as spark:
        return run_evaluate(spark, Storage(run.workdir), run.name, run.run, run.evaluation, run.seed, run.force)
