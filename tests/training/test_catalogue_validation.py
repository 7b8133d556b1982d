"""Validation by ranks among the whole catalogue: what is logged, what it decides, and that it depends on no worker."""

import csv
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from seqrec.core.batch import History
from seqrec.core.errors import ConfigError, TrainingError
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import read_vocabulary
from seqrec.feed.evaluation import EvaluationFeed, RowSample
from seqrec.models.contract import SequenceModel
from seqrec.models.registry import build_model
from seqrec.scoring.catalogue_ranks import CatalogueRanker
from seqrec.training import loop
from seqrec.training.checks import check_prepared, with_metric
from seqrec.training.optimizer_config import OptimizerConfig
from seqrec.training.validation import CatalogueValidation
from seqrec.training.workers.exchange import Workers
from tests.training.small_runs import SEED, ask_to_stop, counting, small_model, small_training

Train = Callable[..., Manifest]
NUM_ITEMS = 60


def model_of(prepared: tuple[Storage, Manifest], name: str) -> SequenceModel:
    """A model whose weights are large enough to tell items apart."""
    return build_model(small_model(name=name, initial_std=0.5), read_vocabulary(*prepared), SEED)


def feed_of(prepared: tuple[Storage, Manifest], **changes: Any) -> EvaluationFeed:
    files = prepared[1].table("sequences/validation").files
    values = {"batch_size": 32, "max_history_length": 8, **changes}
    return EvaluationFeed(storage=prepared[0], files=files, **values)


def ranks_by_hand(prepared: tuple[Storage, Manifest], model: SequenceModel) -> np.ndarray:
    """Rank of the target of every validation row, item by item, ties against it."""
    storage, manifest = prepared
    tables = [pq.read_table(storage.local(file.path)) for file in manifest.table("sequences/validation").files]
    rows = [row for table in tables for row in table.to_pylist()]
    scores = []
    for batch, num_rows in feed_of(prepared).batches():
        state = model.encode(History(*map(tf.constant, batch.history)))
        scores.append(model.score(state, tf.range(1, NUM_ITEMS + 1)).numpy()[0, :num_rows])
    ranks = []
    for row, of_row in zip(rows, np.concatenate(scores), strict=True):
        target = row["target_item"]
        rivals = set(range(1, NUM_ITEMS + 1)) - set(row["history_items"]) - {target}
        ranks.append(1 + sum(of_row[item - 1] >= of_row[target - 1] for item in rivals))
    return np.array(ranks)


def metrics_by_hand(ranks: np.ndarray, k: int) -> dict[str, float]:
    gains = [1.0 / np.log2(1.0 + rank) if rank <= k else 0.0 for rank in ranks]
    return {
        "catalogue_mrr": np.mean([1.0 / rank for rank in ranks]),
        f"catalogue_ndcg@{k}": np.mean(gains),
        f"catalogue_hit_rate@{k}": np.mean([rank <= k for rank in ranks]),
    }


@pytest.mark.parametrize("name", ["sasrec", "gru4rec", "a2svd", "sli_rec"])
def test_metrics_are_those_of_ranks_counted_item_by_item(prepared: tuple[Storage, Manifest], name: str) -> None:
    options = {"options": {"sli_rec": {"hidden_size": 12}}} if name == "sli_rec" else {}
    model = build_model(small_model(name=name, initial_std=0.5, **options), read_vocabulary(*prepared), SEED)

    found = CatalogueValidation(
        CatalogueRanker(model, NUM_ITEMS), feed_of(prepared), Workers(), "catalogue_ndcg@7"
    ).run()  # fmt: skip

    assert found == pytest.approx(metrics_by_hand(ranks_by_hand(prepared, model), 7))


def test_a_sample_is_measured_alone(prepared: tuple[Storage, Manifest]) -> None:
    model, sample = model_of(prepared, "sasrec"), RowSample(40, SEED)

    found = CatalogueValidation(
        CatalogueRanker(model, NUM_ITEMS), feed_of(prepared, sample=sample), Workers(), "catalogue_mrr"
    ).run()

    assert found == pytest.approx(metrics_by_hand(ranks_by_hand(prepared, model)[sample.of(300)], 10))


@pytest.mark.parametrize("name", ["sasrec", "a2svd"])
@pytest.mark.parametrize("sample", [None, RowSample(100, SEED)])
def test_the_ranks_of_two_workers_are_those_of_one(
    prepared: tuple[Storage, Manifest], name: str, sample: RowSample | None
) -> None:
    ranker = CatalogueRanker(model_of(prepared, name), NUM_ITEMS)
    gathered: list[np.ndarray] = []
    listening = SimpleNamespace(
        tick=lambda: None,
        gather_rows=lambda rows: gathered.append(rows) or np.concatenate(gathered),
        broadcast=lambda metrics: metrics,
    )

    for rank in (0, 1):
        feed = feed_of(prepared, sample=sample, worker_rank=rank, num_workers=2)
        together = CatalogueValidation(ranker, feed, listening, "catalogue_ndcg@10").run()  # type: ignore[arg-type]

    alone = CatalogueValidation(ranker, feed_of(prepared, sample=sample), Workers(), "catalogue_ndcg@10").run()
    assert together == alone
    assert min(map(len, gathered)) > 0


def test_the_catalogue_decides_for_retrieval_models_and_resuming_changes_nothing(
    train: Train, prepared: tuple[Storage, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "model": small_model(name="sasrec"),
        "optimizer": OptimizerConfig(learning_rate=0.01),
        "validation_sample": 200,
        "num_epochs": 3,
    }
    unbroken = train(run="catalogue-unbroken", **settings)
    with monkeypatch.context() as patched:
        patched.setattr(loop, "_end_step", counting(loop._end_step, 6, ask_to_stop))
        with pytest.raises(TrainingError, match="Stopped after step 2 of epoch 2"):
            train(run="catalogue-broken", **settings)

    resumed = train(run="catalogue-broken", **settings)

    rows, again = (history_of(prepared[0], manifest) for manifest in (unbroken, resumed))
    assert rows == again
    assert unbroken.details["metric"] == "catalogue_ndcg@10"
    values = [float(row["catalogue_ndcg@10"]) for row in rows]
    assert unbroken.details["best"]["catalogue_ndcg@10"] == max(values) > 0.1
    assert {"catalogue_mrr", "catalogue_hit_rate@10", "group_auc", "ndcg@2"} <= set(rows[0])
    assert "ndcg@10" not in rows[0]


def history_of(storage: Storage, manifest: Manifest) -> list[dict[str, str]]:
    """The lines of history.csv without what depends on the clock, and on where training was cut off."""
    text = storage.read_bytes(f"runs/{manifest.name}/{manifest.id}/history.csv").decode()
    dropped = {"seconds", "examples_per_second", "wait_share", "steps"}
    return [{k: v for k, v in row.items() if k not in dropped} for row in csv.DictReader(io.StringIO(text))]


def test_auto_is_the_metric_that_ranking_models_always_had(train: Train) -> None:
    named = train(run="named-metric", num_epochs=1, metric="group_auc")

    assert train(run="named-metric", num_epochs=1).id == named.id
    assert "catalogue_ndcg@10" not in named.details["best"]


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        (
            "sasrec",
            {"metric": "catalogue_hit_rate@60"},
            r"catalogue_hit_rate@60 among the 60 items .* set training.metric=catalogue_hit_rate@59",
        ),
        ("a2svd", {"metric": "catalogue_mrr", "max_validation_rows": 10**9}, "validation_sample=8, or less"),
    ],
)
def test_check_prepared_refuses_what_a_catalogue_cannot_give(
    prepared: tuple[Storage, Manifest],
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    training: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr("seqrec.training.checks._MOST_PAIRS", {"ranking": 500, "retrieval": 10**9})

    with pytest.raises(ConfigError, match=message):
        check_prepared(prepared[1], small_model(name=model), small_training(**training))


def test_check_prepared_takes_the_sample_that_it_advises(
    prepared: tuple[Storage, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqrec.training.checks._MOST_PAIRS", {"ranking": 500, "retrieval": 500})
    training = small_training(metric="catalogue_ndcg@10", validation_sample=8)

    check_prepared(prepared[1], small_model(name="sasrec"), training)

    with pytest.raises(ConfigError, match="9 validation rows among 60 items"):
        check_prepared(prepared[1], small_model(), small_training(metric="catalogue_mrr", validation_sample=9))


@pytest.mark.parametrize(
    ("model", "metric"),
    [("a2svd", "group_auc"), ("sli_rec", "group_auc"), ("gru4rec", "catalogue_ndcg@10")],
)
def test_with_metric_follows_the_family(model: str, metric: str) -> None:
    assert with_metric(small_training(), small_model(name=model)).metric == metric
    assert with_metric(small_training(metric="mrr"), small_model(name=model)).metric == "mrr"
