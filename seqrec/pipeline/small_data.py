"""Whether a job has so little data that starting Spark's JVM and compiling its code is most of the work."""

import json
from pathlib import Path
from typing import Any

from seqrec.pipeline.config import RunConfig

# By the first compiler alone, a JVM that lives for seconds takes a quarter less processor time; one that lives for
# minutes would take more.
FAST_START = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_FEW_REVIEWS = 100_000
_FEW_BYTES = 1 << 24  # Raw files, as they lie on disk.


def is_small(job: str, run: RunConfig) -> bool:
    """Whether a job's data is known to be small; only folders of this machine are looked at."""
    begins = job in ("ingest", "pipeline")  # What the pipeline makes is not there yet.
    if job == "synthesize" or (job == "pipeline" and run.source.kind == "synthetic"):
        return run.synthesis.num_reviews <= _FEW_REVIEWS
    if begins and run.source.kind == "files":
        return _bytes_of(run.source.reviews) + _bytes_of(run.source.metadata) <= _FEW_BYTES
    if begins:
        counts = _counts(Path(run.workdir, "raw", run.name))
        return 0 < counts.get("reviews", 0) <= _FEW_REVIEWS or 0 < counts.get("bytes", 0) <= _FEW_BYTES
    return 0 < _counts(Path(run.workdir, "ingested", run.name)).get("reviews", 0) <= _FEW_REVIEWS


def _bytes_of(places: str | list[str] | None) -> int:
    """Bytes of files; more than any limit if one of them is no plain file here."""
    try:
        files = [Path(place) for place in ([places] if isinstance(places, str) else places or [])]
        return sum(file.stat().st_size if file.is_file() else 1 << 60 for file in files)
    except (OSError, ValueError):
        return 1 << 60


def _counts(dataset: Path) -> dict[str, Any]:
    """The counts in a dataset's manifest; none if it is not here."""
    try:
        return dict(json.loads((dataset / "_manifest.json").read_text(encoding="utf-8"))["counts"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
