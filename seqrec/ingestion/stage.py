"""The stages `download`, `synthesize` and `ingest`: what the jobs call."""

import logging
from dataclasses import asdict
from typing import Any

from pyspark.sql import SparkSession

from seqrec.core.config import recipe_settings
from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Manifest, Recipe, digest_of
from seqrec.core.secrets import redact
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage, scratch_folder
from seqrec.ingestion.config import DownloadConfig, IngestionConfig, SourceConfig, SynthesisConfig, as_list
from seqrec.ingestion.download.download import download_files
from seqrec.ingestion.download.public_files import files_to_download
from seqrec.ingestion.files.raw_digest import raw_digests
from seqrec.ingestion.files.raw_files import find_raw_files
from seqrec.ingestion.formats.line_sources import LineSource, open_sources
from seqrec.ingestion.ingest import ingest
from seqrec.ingestion.synthetic.synthesize import synthesize

_LOG = logging.getLogger(__name__)

_SYNTHESIZE_VERSION = 1  # Raised when the same settings give other lines.
_INGEST_VERSION = 1  # Raised when the same lines give other tables.


def run_download(storage: Storage, name: str, config: DownloadConfig, force: bool) -> Manifest:
    """Writes `raw/<name>`, unless it is there already. What an interrupted run has fetched is not fetched again."""
    files = files_to_download(config)
    settings = {"files": [[redact(url) for url in file.urls] for file in files]}  # They are kept in the manifest.
    recipe = Recipe(stage="download", settings=settings, inputs={})
    output = StageOutput(Dataset(storage, "raw", name), recipe, force)
    if (current := output.current()) is not None:
        return current
    attempt = output.dataset.begin(recipe, resume=True)  # With `force` too: files that have come are not fetched again.
    folder = storage.local(attempt.path)
    with scratch_folder() as scratch:
        paths = download_files(files, folder or scratch, config)
        if folder is None:
            for path in paths:
                storage.upload(path, f"{attempt.path}/{path.name}")
    uris = [storage.uri(f"{attempt.path}/{path.name}") for path in paths]
    stored = find_raw_files(uris, "download")
    digests = raw_digests(stored, storage)
    places = dict(zip(uris, files, strict=True))
    _LOG.info("download: %d files, %.1f MB", len(stored), sum(file.size for file in stored) / 1e6)
    return attempt.publish(
        counts={"files": len(stored), "bytes": sum(file.size for file in stored)},
        details={
            "reviews": [uri for uri, file in places.items() if not file.is_metadata],
            "metadata": [uri for uri, file in places.items() if file.is_metadata],
            "sha256": digests,
        },
        content=digest_of({uri.rpartition("/")[2]: digest for uri, digest in digests.items()}),
    )


def run_synthesize(
    spark: SparkSession, storage: Storage, name: str, config: SynthesisConfig, seed: int, force: bool
) -> Manifest:
    """Writes `raw/<name>`, unless it is there already."""
    settings = recipe_settings(config) | {"seed": seed, "version": _SYNTHESIZE_VERSION}
    recipe = Recipe(stage="synthesize", settings=settings, inputs={})
    output = StageOutput(Dataset(storage, "raw", name), recipe, force)
    if (current := output.current()) is not None:
        return current
    attempt = output.begin()
    written = synthesize(spark, attempt, config, seed)
    counts = {"reviews": written.num_reviews, "users": written.num_users, "items": written.num_items}
    # The settings decide every line, so the recipe stands for the content.
    manifest = attempt.publish(
        counts=counts,
        details={"reviews": written.reviews, "metadata": written.metadata, "files": [asdict(f) for f in written.files]},
        content=recipe.digest,
    )
    _LOG.info("synthesize: %s", ", ".join(f"{number:,} {what}" for what, number in counts.items()))
    return manifest


def run_ingest(
    spark: SparkSession,
    storage: Storage,
    name: str,
    source: SourceConfig,
    config: IngestionConfig,
    force: bool,
) -> Manifest:
    """Writes `ingested/<name>`, unless it is there already, made from the same files."""
    reviews, metadata, inputs = _sources(storage, name, source, config)
    recipe = Recipe(stage="ingest", settings=recipe_settings(config) | {"version": _INGEST_VERSION}, inputs=inputs)
    output = StageOutput(Dataset(storage, "ingested", name), recipe, force)
    if (current := output.current()) is not None:
        return current
    attempt = output.begin()
    ingested = ingest(spark, reviews, metadata, config, attempt)
    return attempt.publish(
        tables=ingested.tables,
        counts={table: content.rows for table, content in ingested.tables.items()},
        details={"files": [account.as_dict() for account in ingested.files]},
    )


def _sources(
    storage: Storage, name: str, source: SourceConfig, config: IngestionConfig
) -> tuple[list[LineSource], list[LineSource], dict[str, str]]:
    """Review and metadata files, and the digest of each one's content."""
    if source.kind == "files":
        reviews = open_sources(source.review_patterns, "source.reviews", config, metadata=False)
        metadata = []
        if source.metadata_patterns:
            metadata = open_sources(source.metadata_patterns, "source.metadata", config, metadata=True)
        return reviews, metadata, raw_digests([one.file for one in [*reviews, *metadata]], storage)
    job = "synthesize" if source.kind == "synthetic" else source.kind
    raw = Dataset(storage, "raw", name).require(job)
    if raw.stage != job:  # Both write there.
        raise DataError(
            f"{storage.uri(f'raw/{name}')}: made by the job '{raw.stage}', but source.kind is '{source.kind}'. "
            f"Run the job '{job}' first."
        )
    details: dict[str, Any] = raw.details
    if not details.get("reviews"):
        raise DataError(f"{storage.uri(f'raw/{name}')}: holds no reviews. Run the job '{raw.stage}' again.")
    reviews = open_sources(as_list(details["reviews"]), "source.kind", config, metadata=False)
    metadata = []
    if details.get("metadata"):
        metadata = open_sources(as_list(details["metadata"]), "source.kind", config, metadata=True)
    return reviews, metadata, {"raw": raw.content}
