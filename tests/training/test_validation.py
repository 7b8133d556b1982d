from types import SimpleNamespace
from typing import Any

import numpy as np

from seqrec.core import metrics as M
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import read_vocabulary
from seqrec.feed.evaluation import EvaluationFeed
from seqrec.models.registry import build_model
from seqrec.training.validation import Validation
from seqrec.training.workers.exchange import Workers
from tests.training.small_runs import SEED, small_model


def feed_of(prepared: tuple[Storage, Manifest], batch_size: int) -> EvaluationFeed:
    files = prepared[1].table("sequences/validation").files
    return EvaluationFeed(storage=prepared[0], files=files, batch_size=batch_size, max_history_length=8)


def test_validation_does_not_depend_on_the_batch_size(prepared: tuple[Storage, Manifest]) -> None:
    model = build_model(small_model(), read_vocabulary(*prepared), SEED)

    results = [
        Validation(model, feed_of(prepared, size), Workers(), [5], "auc").run() for size in (7, 64, 1000)
    ]  # fmt: skip

    assert results[0] == results[1] == results[2]


def test_validation_scores_every_row_once(prepared: tuple[Storage, Manifest]) -> None:
    class TargetsItem:
        """Scores a candidate by its index."""

        def encode(self, history: Any) -> None:
            return None

        def score(self, state: None, candidates: Any) -> Any:
            import tensorflow as tf

            return tf.cast(candidates, tf.float32)

    candidates = np.concatenate([b.candidate_items[0, :n] for b, n in feed_of(prepared, 50).batches()])

    metrics = Validation(TargetsItem(), feed_of(prepared, 64), Workers(), [], "ndcg@3").run()  # type: ignore[arg-type]

    assert len(candidates) == 300
    assert metrics["mrr"] == float(M.reciprocal_rank(M.target_ranks(candidates)).mean())
    assert "ndcg@3" in metrics


def test_validation_gathers_the_rows_of_all_workers(prepared: tuple[Storage, Manifest]) -> None:
    model = build_model(small_model(), read_vocabulary(*prepared), SEED)
    gathered: list[np.ndarray] = []
    listening = SimpleNamespace(
        tick=lambda: None,
        largest=float,
        gather_rows=lambda rows: gathered.append(rows) or np.concatenate([rows, rows]),
        broadcast=lambda metrics: metrics,
    )

    metrics = Validation(model, feed_of(prepared, 64), listening, [], "auc").run()  # type: ignore[arg-type]

    assert gathered[0].shape == (300, 10)
    assert metrics["mrr"] == float(M.reciprocal_rank(M.target_ranks(gathered[0])).mean())


def test_validation_gives_the_metrics_of_worker_0(prepared: tuple[Storage, Manifest]) -> None:
    class Second(Workers):
        def broadcast(self, value: Any) -> Any:
            return dict.fromkeys(value, 0.75)

    model = build_model(small_model(), read_vocabulary(*prepared), SEED)

    metrics = Validation(model, feed_of(prepared, 64), Second(), [], "auc").run()

    assert metrics.keys() >= {"auc", "group_auc", "mrr"}
    assert set(metrics.values()) == {0.75}
