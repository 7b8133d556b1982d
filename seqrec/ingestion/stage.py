"""The stages `download`, `synthesize` and `ingest`, as the jobs call them."""

import logging
from collections.abc import Mapping
from dataclasses import asdict

from pyspark.sql import SparkSession

from seqrec.core.config import recipe_settings
from seqrec.core.manifest import Dataset, Manifest, Recipe, digest_of
from seqrec.core.secrets import redact
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage
from seqrec.ingestion.config import DownloadConfig, IngestionConfig, SourceConfig, SynthesisConfig
from seqrec.ingestion.download.download import download_into
from seqrec.ingestion.download.public_files import files_to_download
from seqrec.ingestion.files.raw_digest import raw_digests
from seqrec.ingestion.files.raw_files import find_raw_files
from seqrec.ingestion.ingest import ingest
from seqrec.ingestion.inputs import open_inputs
from seqrec.ingestion.synthetic.synthesize import synthesize

_LOG = logging.getLogger(__name__)

_SYNTHESIZE_VERSION = 1  # To be raised when the same settings give other lines.
_INGEST_VERSION = 2  # To be raised when the same lines give other tables.


def current_download(storage: Storage, name: str, config: DownloadConfig, force: bool) -> Manifest | None:
    """The downloaded `raw/<name>`, if it is up to date."""
    return _download_output(storage, name, config, force).current()


def run_download(storage: Storage, name: str, config: DownloadConfig, force: bool) -> Manifest:
    """Writes `raw/<name>`, unless it is up to date. Files that an interrupted run has fetched are not fetched again."""
    files = files_to_download(config)
    output = _download_output(storage, name, config, force)
    if (current := output.current()) is not None:
        return current
    # Also with `force`: files that have come are not fetched again.
    attempt = output.dataset.begin(output.recipe, resume=True)
    uris = download_into(attempt, files, config)
    stored = find_raw_files(uris, "download")
    digests = raw_digests(stored, storage)
    is_metadata = {uri: file.is_metadata for uri, file in zip(uris, files, strict=True)}
    num_bytes = sum(file.size for file in stored)
    _LOG.info("download: %d files, %.1f MB", len(stored), num_bytes / 1e6)
    return attempt.publish(
        counts={"files": len(stored), "bytes": num_bytes},
        details={
            "reviews": [uri for uri in uris if not is_metadata[uri]],
            "metadata": [uri for uri in uris if is_metadata[uri]],
            "sha256": digests,
        },
        content=digest_of({uri.rpartition("/")[2]: digest for uri, digest in digests.items()}),
    )


def _download_output(storage: Storage, name: str, config: DownloadConfig, force: bool) -> StageOutput:
    files = files_to_download(config)
    settings = {"files": [[redact(url) for url in file.urls] for file in files]}  # The manifest keeps them.
    return StageOutput(Dataset(storage, "raw", name), Recipe(stage="download", settings=settings, inputs={}), force)


def current_synthesis(storage: Storage, name: str, config: SynthesisConfig, seed: int, force: bool) -> Manifest | None:
    """The synthesized `raw/<name>`, if it is up to date."""
    return _synthesis_output(storage, name, config, seed, force).current()


def run_synthesize(
    spark: SparkSession, storage: Storage, name: str, config: SynthesisConfig, seed: int, force: bool
) -> Manifest:
    """Writes `raw/<name>`, unless it is up to date."""
    output = _synthesis_output(storage, name, config, seed, force)
    if (current := output.current()) is not None:
        return current
    attempt = output.begin()
    written = synthesize(spark, attempt, config, seed)
    counts = {"reviews": written.num_reviews, "users": written.num_users, "items": written.num_items}
    # The settings decide every line, so the recipe stands for the content.
    manifest = attempt.publish(
        counts=counts,
        details={"reviews": written.reviews, "metadata": written.metadata, "files": [asdict(f) for f in written.files]},
        content=output.recipe.digest,
    )
    _LOG.info("synthesize: %s", ", ".join(f"{number:,} {noun}" for noun, number in counts.items()))
    return manifest


def _synthesis_output(storage: Storage, name: str, config: SynthesisConfig, seed: int, force: bool) -> StageOutput:
    settings = recipe_settings(config) | {"seed": seed, "version": _SYNTHESIZE_VERSION}
    return StageOutput(Dataset(storage, "raw", name), Recipe(stage="synthesize", settings=settings, inputs={}), force)


def current_ingestion(
    storage: Storage, name: str, source: SourceConfig, config: IngestionConfig, force: bool
) -> Manifest | None:
    """`ingested/<name>`, if it is up to date for the same files."""
    inputs = open_inputs(storage, name, source, config)
    return _ingest_output(storage, name, inputs.digests, config, force).current()


def run_ingest(
    spark: SparkSession,
    storage: Storage,
    name: str,
    source: SourceConfig,
    config: IngestionConfig,
    force: bool,
) -> Manifest:
    """Writes `ingested/<name>`, unless it is up to date for the same files."""
    inputs = open_inputs(storage, name, source, config)
    output = _ingest_output(storage, name, inputs.digests, config, force)
    if (current := output.current()) is not None:
        return current
    attempt = output.begin()
    ingested = ingest(spark, inputs.reviews, inputs.metadata, config, attempt)
    return attempt.publish(
        tables=ingested.tables,
        counts={table: content.rows for table, content in ingested.tables.items()},
        details={"files": [counts.as_dict() for counts in ingested.files]},
    )


def _ingest_output(
    storage: Storage, name: str, digests: Mapping[str, str], config: IngestionConfig, force: bool
) -> StageOutput:
    settings = recipe_settings(config) | {"version": _INGEST_VERSION}
    recipe = Recipe(stage="ingest", settings=settings, inputs=digests)
    return StageOutput(Dataset(storage, "ingested", name), recipe, force)
