"""The raw files that `ingest` reads: those that the settings name, or those that another job has written."""

from dataclasses import dataclass

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.ingestion.config import IngestionConfig, SourceConfig, as_list
from seqrec.ingestion.files.raw_digest import raw_digests
from seqrec.ingestion.formats.line_sources import LineSource, open_sources


@dataclass(frozen=True)
class IngestionInputs:
    reviews: list[LineSource]
    metadata: list[LineSource]
    digests: dict[str, str]  # Address of each file -> its sha256; or "raw" -> content of the dataset below `raw/`.


def open_inputs(storage: Storage, name: str, source: SourceConfig, config: IngestionConfig) -> IngestionInputs:
    """The review and metadata files of `source`.

    Raises:
        DataError: files are missing or of an unknown format, or `raw/<name>` was made by another job.
    """
    if source.kind == "files":
        reviews = open_sources(source.review_patterns, "source.reviews", config, metadata=False)
        metadata = []
        if source.metadata_patterns:
            metadata = open_sources(source.metadata_patterns, "source.metadata", config, metadata=True)
        return IngestionInputs(reviews, metadata, raw_digests([one.file for one in [*reviews, *metadata]], storage))
    raw = _written_by_another_job(storage, name, source.kind)
    reviews = open_sources(as_list(raw.details["reviews"]), "source.kind", config, metadata=False)
    metadata = []
    if raw.details.get("metadata"):
        metadata = open_sources(as_list(raw.details["metadata"]), "source.kind", config, metadata=True)
    return IngestionInputs(reviews, metadata, {"raw": raw.content})


def _written_by_another_job(storage: Storage, name: str, kind: str) -> Manifest:
    """The manifest of `raw/<name>`, where both `download` and `synthesize` write."""
    job = "synthesize" if kind == "synthetic" else kind
    raw = Dataset(storage, "raw", name).require(job)
    if raw.stage != job:
        raise DataError(
            f"{storage.uri(f'raw/{name}')}: made by the job '{raw.stage}', but source.kind is '{kind}'. "
            f"Run the job '{job}' first."
        )
    if not raw.details.get("reviews"):
        raise DataError(f"{storage.uri(f'raw/{name}')}: holds no reviews. Run the job '{raw.stage}' again.")
    return raw
