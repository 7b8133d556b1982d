"""A workdir of manifests with fixed contents, and the recipe with which a stage would begin in it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqrec.core.config import plain
from seqrec.core.manifest import Dataset, FileEntry, Manifest, Recipe, Table, digest_of
from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig
from seqrec.pipeline.config import LoadedConfig
from seqrec.pipeline.stages import run_stage
from seqrec.recommendation.export.stage import export_recipe

ROWS = pa.table({"user_id": ["ann"]})
VOCABULARY = {
    "vocabulary/items": pa.table(
        {
            "item_index": pa.array([1, 2, 3], pa.int32()),
            "item_id": ["a", "b", "c"],
            "category_index": pa.array([1, 1, 0], pa.int32()),
            "train_count": pa.array([5, 4, 0], pa.int64()),
        }
    ),
    "vocabulary/categories": pa.table({"category_index": pa.array([1], pa.int32()), "category": ["Books"]}),
}
SIZES = {"num_items": 3, "num_trained_items": 2, "num_categories": 1}


class BegunError(Exception):
    """Raised in place of a stage's work."""


def make_world(folder: Path) -> None:
    """Raw, ingested and prepared data and candidates named `demo`, and the runs `demo-a2svd` and `other`."""
    storage = Storage(str(folder))
    (folder / "reviews.csv").write_text("B000000001,A1B2C3D4E5F6G7,5.0,1400000000\n")
    raw = {"reviews": [storage.uri("reviews.csv")], "metadata": []}
    _publish(storage, "raw/demo", "synthesize", {}, raw)
    _publish(storage, "ingested/demo", "ingest", dict.fromkeys(("reviews", "items", "rejects"), ROWS))
    sequences = {f"sequences/{split}": ROWS for split in ("train", "validation", "test", "latest")}
    details = {"max_stored_history": 200, "num_negatives": {"validation": 9, "test": 49}, **SIZES}
    prepared = _publish(storage, "prepared/demo", "prepare", sequences | VOCABULARY, details)
    files = digest_of([(file.path, file.rows) for file in prepared.table("sequences/latest").files])
    inputs = {"prepared": prepared.content, "files": files}
    _publish(storage, "candidates/demo", "candidates", {"candidates": ROWS}, inputs=inputs)
    model = plain(ModelConfig())
    details = {"weights": "weights.npz", "model": model, "seed": 1, "prepared": "demo", "epochs": 3, **SIZES}
    details |= {"stopped_early": False, "metric": "group_auc"}
    inputs = {"prepared": prepared.content, "vocabulary": prepared.table("vocabulary/items").content}
    for run in ("demo-a2svd", "other"):
        made = _publish(storage, f"runs/{run}", "train", VOCABULARY, details, inputs, f"weights of {run}")
        storage.write_bytes(f"runs/{run}/{made.id}/config.yaml", json.dumps({"model": model}).encode())
        storage.write_bytes(f"runs/{run}/{made.id}/weights.npz", b"")


def _publish(
    storage: Storage,
    path: str,
    stage: str,
    tables: Mapping[str, pa.Table],
    details: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    content: str | None = None,
) -> Manifest:
    attempt = Dataset(storage, *path.split("/")).begin(Recipe(stage=stage, settings={}, inputs=inputs or {}))
    made = {}
    for name, table in tables.items():
        is_train = name == "sequences/train"
        files = [
            _write(storage, f"{attempt.path}/{name}/part-{number}.parquet", table, 800 if is_train else None)
            for number in range(8 if is_train else 1)
        ]
        made[name] = Table(rows=table.num_rows, content=f"{name:.<16}"[:16], files=tuple(files))
    return attempt.publish(tables=made, counts={}, details=details, content=content or f"content of {path}")


def _write(storage: Storage, path: str, table: pa.Table, targets: int | None) -> FileEntry:
    local = storage.local(path)
    assert local is not None
    local.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, local)
    return FileEntry(path=path, rows=table.num_rows, size=local.stat().st_size, targets=targets)


def recipe_digest(job: str, config: LoadedConfig, monkeypatch: pytest.MonkeyPatch) -> str:
    """The digest of the recipe with which the stage of a job begins to write."""
    if job == "export":
        return export_recipe(Storage(config.run.workdir), config.run.run, config.run.export).digest
    seen: list[str] = []

    def begin(_: Dataset, recipe: Recipe, *, resume: bool = False) -> None:
        seen.append(recipe.digest)
        raise BegunError

    def evaluate(_: Any, inputs: Any) -> None:
        seen.append(inputs.recipe())
        raise BegunError

    with monkeypatch.context() as patched:
        patched.setattr(Dataset, "begin", begin)
        patched.setattr("seqrec.evaluation.stage.evaluate_run", evaluate)
        with pytest.raises(BegunError):
            run_stage(job, config)
    [digest] = seen
    return digest
