"""The stages as functions of one loaded config: what the jobs call, and what the pipeline calls in one process.

Each imports its engine only when it runs: preparation needs no TensorFlow, training on one worker no Spark.
"""

from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.pipeline.config import LoadedConfig


def download(config: LoadedConfig) -> Manifest:
    """Writes `raw/<name>` from the public files; plain Python, no Spark."""
    from seqrec.ingestion.stage import run_download

    run = config.run
    return run_download(Storage(run.workdir), run.name, run.download, run.force)


def synthesize(config: LoadedConfig) -> Manifest:
    """Writes `raw/<name>`."""
    from seqrec.ingestion.stage import run_synthesize
    from seqrec.tables.sessions import spark_session

    run = config.run
    with spark_session("synthesize", config.spark.get("synthesis")) as spark:
        return run_synthesize(spark, Storage(run.workdir), run.name, run.synthesis, run.seed, run.force)


def ingest(config: LoadedConfig) -> Manifest:
    """Writes `ingested/<name>`."""
    from seqrec.ingestion.stage import run_ingest
    from seqrec.tables.sessions import spark_session

    run = config.run
    with spark_session("ingest", config.spark.get("ingestion")) as spark:
        return run_ingest(spark, Storage(run.workdir), run.name, run.source, run.ingestion, run.force)


def prepare(config: LoadedConfig) -> Manifest:
    """Writes `prepared/<name>`."""
    from seqrec.preparation.stage import run_prepare
    from seqrec.tables.sessions import spark_session

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
    from seqrec.tables.sessions import spark_session

    run = config.run
    with spark_session("evaluate", config.spark.get("evaluation")) as spark:
        return run_evaluate(spark, Storage(run.workdir), run.name, run.run, run.evaluation, run.seed, run.force)


def tune(config: LoadedConfig) -> Manifest:
    """Writes `tuning/<study>`."""
    from seqrec.tables.sessions import spark_session
    from seqrec.tuning.stage import run_tune

    run = config.run
    with spark_session("tune", config.spark.get("tuning")) as spark:
        return run_tune(
            spark,
            Storage(run.workdir),
            run.name,
            run.study,
            run.model,
            run.training,
            run.tuning,
            run.evaluation,
            run.seed,
            run.force,
        )


def candidates(config: LoadedConfig) -> Manifest:
    """Writes `candidates/<name>`."""
    from seqrec.recommendation.candidates.stage import run_candidates
    from seqrec.tables.sessions import spark_session

    run = config.run
    with spark_session("candidates", config.spark.get("candidates")) as spark:
        return run_candidates(spark, Storage(run.workdir), run.name, run.candidates, run.seed, run.force)


def recommend(config: LoadedConfig) -> Manifest | None:
    """Writes `recommendations/<run>`, or prints the lists of `recommendation.user`."""
    from seqrec.recommendation.lists.show_user import show_user
    from seqrec.recommendation.lists.stage import run_recommend
    from seqrec.tables.sessions import spark_session

    run, storage = config.run, Storage(config.run.workdir)
    if run.recommendation.user is not None:
        show_user(storage, run.name, run.run, run.recommendation)
        return None
    with spark_session("recommend", config.spark.get("recommendation")) as spark:
        return run_recommend(spark, storage, run.name, run.run, run.recommendation, run.seed, run.force)


def export(config: LoadedConfig) -> object:
    """Writes `runs/<run>/export`."""
    from seqrec.recommendation.export.stage import run_export

    run = config.run
    return run_export(Storage(run.workdir), run.run, run.export, run.force)
