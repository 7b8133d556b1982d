"""The `index` stage: a run's item vectors in a file that all workers map, with an approximate index where wanted."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from seqrec.core.config import recipe_settings
from seqrec.core.console import print_table
from seqrec.core.errors import ConfigError
from seqrec.core.manifest import Attempt, Dataset, FileEntry, Manifest, Recipe, Table
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage, scratch_folder, stream_digest
from seqrec.models.registry import RETRIEVAL_MODELS, family_of
from seqrec.recommendation.index.measure import (
    MeasuredStates,
    choose_num_searched,
    index_table,
    recall_and_speed,
    sample_histories,
)
from seqrec.scoring.index.approximate import NearLists, import_faiss, write_lists
from seqrec.scoring.index.config import IndexConfig
from seqrec.scoring.index.item_index import LISTS, RUN, VECTORS, ItemIndex, index_dataset
from seqrec.scoring.loaded_model import read_model
from seqrec.scoring.run import TrainedRun, read_run
from seqrec.scoring.scorer import own_items, run_scorer
from seqrec.scoring.tensorflow_process import load_tensorflow

_LOG = logging.getLogger(__name__)
_PAIRS_AT_ONCE = 400_000
_FILES = {VECTORS: "item_vectors.npy", LISTS: "lists.faiss"}


def run_index(storage: Storage, name: str, run: str, seed: int, config: IndexConfig, force: bool = False) -> Manifest:
    """Writes `runs/<run>/index/`, measured with histories of `prepared/<name>`, and prints its card.

    Raises:
        DataError: the run or the data is not there, they do not belong together, or a vector is not finite.
        ConfigError: the run's model is a ranking model, or faiss is needed and not installed.
    """
    prepared = Dataset(storage, "prepared", name).require("prepare")
    trained = read_run(storage, run, prepared)
    if family_of(trained.config.name) != "retrieval":
        raise ConfigError(
            f"run '{run}' has the ranking model '{trained.config.name}', which has no item vectors: name a run of "
            f"{' or '.join(RETRIEVAL_MODELS)}."
        )
    if config.kind == "approximate":
        import_faiss()
    settings = {**recipe_settings(config), "seed": seed}
    recipe = Recipe(stage="index", settings=settings, inputs={RUN: trained.manifest.content})
    output = StageOutput(index_dataset(storage, run), recipe, force)
    if (current := output.current()) is not None:
        print_table(index_table(current))
        return current
    attempt = output.begin()
    with scratch_folder() as scratch:
        index = _write(storage, trained, config, scratch)
        measured = _measured(storage, trained, prepared, index, config, seed)
        if index.lists is not None:
            index = choose_num_searched(index, measured.half(0), config.min_recall)
        tables = {
            part: _publish_file(attempt, scratch / file, len(index.vectors))
            for part, file in _FILES.items()
            if (scratch / file).exists()
        }
        card = {"run": run, "bytes": sum(table.files[0].size for table in tables.values())}
        card |= _card(index, measured, config)
    manifest = attempt.publish(
        tables=tables, counts={"items": card["num_items"]}, details={"num_searched": index.num_searched, "card": card}
    )
    _warn(card, config)
    _LOG.info("index: '%s' is in %s, %.0f s", run, storage.uri(attempt.path), manifest.seconds)
    print_table(index_table(manifest))
    return manifest


def _write(storage: Storage, run: TrainedRun, config: IndexConfig, scratch: Path) -> ItemIndex:
    load_tensorflow()
    from seqrec.scoring.index.vectors import write_vectors

    path = scratch / _FILES[VECTORS]
    stored = run_scorer(storage, run, _PAIRS_AT_ONCE, num_threads=0).stored
    model: Any = read_model(stored)
    write_vectors(model, stored.config.num_comparable(stored.vocabulary), path)
    del model  # Its table may take gigabytes, and the histories are encoded by another copy.
    vectors = np.load(path, mmap_mode="r")
    if config.kind == "exact":
        return ItemIndex(vectors)
    lists = scratch / _FILES[LISTS]
    write_lists(vectors, lists, config.num_lists, config.num_threads)
    return ItemIndex(vectors, NearLists.open(lists))


def _measured(
    storage: Storage, run: TrainedRun, prepared: Manifest, index: ItemIndex, config: IndexConfig, seed: int
) -> MeasuredStates:
    histories = sample_histories(storage, prepared, config.num_measured, seed)
    states = run_scorer(storage, run, _PAIRS_AT_ONCE, num_threads=1).states(histories)
    excluded = own_items(histories)
    best, _ = ItemIndex(index.vectors).search(states, config.k, excluded)
    return MeasuredStates(states, excluded, best)


def _card(index: ItemIndex, measured: MeasuredStates, config: IndexConfig) -> dict[str, Any]:
    """What the index is, and what it found for the half of the histories that chose nothing."""
    stated = measured.half(1)
    recall, speed = recall_and_speed(index, stated)
    _, exact_speed = recall_and_speed(ItemIndex(index.vectors), stated)
    return {
        "kind": config.kind,
        "num_items": len(index.vectors),
        "width": index.vectors.shape[1],
        "num_lists": index.lists.num_lists if index.lists is not None else 0,
        "num_searched": index.num_searched,
        "k": config.k,
        "num_measured": len(stated.states),
        "recall": recall,
        "users_per_core_second": speed,
        "exact_users_per_core_second": exact_speed,
    }


def _warn(card: dict[str, Any], config: IndexConfig) -> None:
    if card["num_items"] < config.k:
        _LOG.warning(
            "index: the catalogue has %d items with vectors, fewer than index.k (%d): lists are shorter, filled up "
            "with item 0",
            card["num_items"],
            config.k,
        )
    if card["recall"] < config.min_recall:
        _LOG.warning(
            "index: recall@%d is %.4f, below index.min_recall (%s): measure more histories, or set index.kind=exact",
            config.k,
            card["recall"],
            config.min_recall,
        )


def _publish_file(attempt: Attempt, local: Path, rows: int) -> Table:
    path = f"{attempt.path}/{local.name}"
    with local.open("rb") as stream:
        content = stream_digest(stream)[:16]
    attempt.storage.upload(local, path)
    entry = FileEntry(path=path, rows=rows, size=local.stat().st_size)
    return Table(rows=rows, content=content, files=(entry,))
