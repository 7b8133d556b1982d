"""Permutation importance (Breiman 2001; Fisher, Rudin, Dominici 2019): what NDCG@10 loses when one input is permuted.

Rows of validation are ranked among the whole catalogue, as given and permuted; the differences of each row are averaged
over several permutations. Intervals are of a Poisson bootstrap over rows, so they cover the choice of users, and of the
permutations only what their mean leaves.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from seqrec.core.batch import CatalogueBatch
from seqrec.core.manifest import Manifest, digest_of
from seqrec.core.storage import Storage
from seqrec.feed.config import FeedConfig
from seqrec.scoring.intervals import interval, poisson_weights
from seqrec.scoring.run import TrainedRun
from seqrec.scoring.scorer import stored_model, vocabulary_of
from seqrec.scoring.tensorflow_process import quieten_tensorflow

_LOG = logging.getLogger(__name__)
_CUTOFF, _PERMUTATIONS, _REPLICATES, _CONFIDENCE = 10, 3, 1000, 0.95
# An input that takes so much of the metric with it is more likely a leak than a finding.
_BEYOND_BELIEF, _TRIVIAL = 0.75, 0.02


@dataclass(frozen=True)
class Importance:
    """What one input is worth to a run."""

    name: str
    loss: float  # Mean loss of NDCG@10.
    low: float  # Interval of the loss.
    high: float
    is_suspect: bool = False  # The loss is beyond belief: the feature may give the target away.


@dataclass(frozen=True)
class ImportanceTable:
    """The importance of every input of a run, the largest first."""

    key: str  # Digest of all that the numbers depend on.
    num_rows: int
    value: float  # NDCG@10 as given.
    inputs: list[Importance]


def importance_path(run: str) -> str:
    return f"runs/{run}/evaluations/importance.json"


def read_importance(storage: Storage, run: str) -> ImportanceTable | None:
    """The stored table of a run; None if there is none."""
    if not storage.exists(importance_path(run)):
        return None
    stored = json.loads(storage.read_bytes(importance_path(run)))
    return ImportanceTable(**stored | {"inputs": [Importance(**each) for each in stored["inputs"]]})


def update_importance(
    storage: Storage, run: TrainedRun, prepared: Manifest, num_rows: int, seed: int, feed: FeedConfig
) -> None:
    """Measures a run on at most `num_rows` rows of validation and stores the table, unless that is up to date."""
    key = digest_of([1, run.manifest.content, prepared.content, num_rows, seed])
    current = read_importance(storage, run.name)
    if current is None or current.key != key:
        table = _measured(storage, run, prepared, num_rows, seed, key, feed)
        storage.write_bytes(importance_path(run.name), json.dumps(asdict(table), indent=1).encode())
        for each in table.inputs:
            _LOG.info("importance: %s: %.4f (%.4f to %.4f)", each.name, each.loss, each.low, each.high)
            if each.is_suspect:
                _LOG.warning(
                    "importance: without '%s' the run loses %.0f%% of its NDCG@10: check that the feature is known "
                    "before the event, and does not name the target",
                    each.name,
                    100 * each.loss / table.value,
                )


def _measured(
    storage: Storage, run: TrainedRun, prepared: Manifest, num_rows: int, seed: int, key: str, feed: FeedConfig
) -> ImportanceTable:
    quieten_tensorflow()
    from seqrec.evaluation.importance.permuted import inputs_of, permuted, permuted_batch
    from seqrec.feed.evaluation import EvaluationFeed, RowSample
    from seqrec.scoring.catalogue_ranks import CatalogueRanker
    from seqrec.scoring.loaded_model import read_model

    model = read_model(stored_model(storage, run, vocabulary_of(storage, run), num_threads=1))
    num_items = prepared.details["num_items"]
    rows = EvaluationFeed(
        storage=storage,
        files=prepared.table("sequences/validation").files,
        batch_size=CatalogueRanker(model, num_items).batch_size,
        max_history_length=run.config.max_history_length,
        sample=RowSample(num_rows, seed),
        reader=feed.reader,
    )
    batches = list(rows.catalogue_batches())

    def gains(name: str, number: int) -> np.ndarray:
        """float64 [rows], NDCG@10 of each row with one input permuted."""
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, number])))
        with permuted(model, name, rng):
            ranker = CatalogueRanker(model, num_items)  # A new one: what it has traced does not change.
            vectors = ranker.item_vectors()
            return _gains(
                [(permuted_batch(batch, name, rng), n) for batch, n in batches], lambda b: ranker.ranks(b, vectors)
            )

    ranker = CatalogueRanker(model, num_items)
    vectors = ranker.item_vectors()
    before = _gains(batches, lambda batch: ranker.ranks(batch, vectors))
    weights = poisson_weights(np.arange(len(before)), seed, _REPLICATES).astype(np.float64)  # [rows, R]
    found = []
    for place, name in enumerate(inputs_of(model)):
        lost = np.mean([before - gains(name, 100 * place + n) for n in range(_PERMUTATIONS)], axis=0)
        low, high = interval(lost @ weights / weights.sum(axis=0), _CONFIDENCE)
        loss, value = float(lost.mean()), float(before.mean())
        is_item_feature = model.embedding.features is not None and name in [
            block.name for block in model.embedding.features.blocks
        ]
        is_suspect = is_item_feature and value > _TRIVIAL and loss > _BEYOND_BELIEF * value
        found.append(Importance(name, loss, low, high, is_suspect))
    found.sort(key=lambda each: -each.loss)
    return ImportanceTable(key, len(before), float(before.mean()), found)


def _gains(batches: Sequence[tuple[CatalogueBatch, int]], ranks_of: Callable[[CatalogueBatch], Any]) -> np.ndarray:
    """float64 [rows], NDCG@10 of each row that competes with others."""
    parts = []
    for batch, num_rows in batches:
        ranks = ranks_of(batch).numpy()[0, :num_rows].astype(np.float64)
        parts.append(np.where((ranks > 0) & (ranks <= _CUTOFF), 1.0 / np.log2(1.0 + np.maximum(ranks, 1.0)), 0.0))
    return np.concatenate(parts)
