"""Raw files from a few lines, and ingesting them."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.ingestion.config import IngestionConfig, SourceConfig
from seqrec.ingestion.ingest import REJECTS
from seqrec.ingestion.stage import run_ingest
from seqrec.tables.files import read_table
from seqrec.tables.schemas import ITEMS, REVIEWS

_SCHEMAS = {"reviews": REVIEWS, "items": ITEMS, "rejects": REJECTS}


@pytest.fixture
def raw(tmp_path: Path) -> Callable[..., Path]:
    """Writes lines (or bytes) to a raw file; `.gz` names are compressed."""

    def write(name: str, content: list[str] | bytes) -> Path:
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else "".join(line + "\n" for line in content).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.fixture
def review() -> Callable[..., str]:
    """A good 2018 review line; keywords change fields, None leaves one out."""

    def line(**changes: Any) -> str:
        fields = {"overall": 5.0, "verified": True, "reviewerID": "A1", "asin": "B1", "unixReviewTime": 1_400_000_000}
        return json.dumps({name: value for name, value in (fields | changes).items() if value is not None})

    return line


class Ingested:
    """What one run of ingest has made."""

    def __init__(self, spark: Any, storage: Storage, manifest: Manifest):
        self._spark = spark
        self._storage = storage
        self.manifest = manifest

    def rows(self, table: str, *columns: str) -> list[tuple]:
        frame = read_table(self._spark, self._storage, self.manifest, table, _SCHEMAS[table])
        rows = (tuple(row) for row in frame.select(*(columns or frame.columns)).collect())
        return sorted(rows, key=lambda row: [(value is not None, value) for value in row])

    def counts_of(self, name: str) -> dict[str, Any]:
        [counts] = [one for one in self.manifest.details["files"] if one["source"].endswith("/" + name)]
        return counts

    @property
    def digest(self) -> str:
        return self.manifest.table("reviews").content


@pytest.fixture
def ingested(spark: Any, tmp_path: Path) -> Callable[..., Ingested]:
    """Ingests `reviews` and `metadata` (paths); keywords are settings of `ingestion`."""

    def run(reviews: Any, metadata: Any = None, name: str = "test", **settings: Any) -> Ingested:
        def listed(paths: Any) -> Any:
            return [str(path) for path in paths] if isinstance(paths, list) else paths and str(paths)

        source = SourceConfig(kind="files", reviews=listed(reviews), metadata=listed(metadata))
        storage = Storage(str(tmp_path / "work"))
        manifest = run_ingest(spark, storage, name, source, IngestionConfig(**settings), False)
        assert Dataset(storage, "ingested", name).manifest() == manifest
        return Ingested(spark, storage, manifest)

    return run
