"""What training logs of its best epoch is what an evaluation of the validation split measures over all items."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.stage import run_evaluate
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig
from seqrec.training.stage import run_train
from tests.evaluation.worlds import MAX_HISTORY_LENGTH, write_prepared


@pytest.mark.parametrize("name", ["sasrec", "a2svd"])
def test_training_logs_what_a_full_evaluation_measures(spark: SparkSession, tmp_path: Path, name: str) -> None:
    storage = Storage(str(tmp_path))
    write_prepared(storage, "small", num_users=200, num_files=4)
    model = ModelConfig(name=name, item_dim=8, max_history_length=MAX_HISTORY_LENGTH)
    training = TrainingConfig(
        num_epochs=3,
        num_streams=2,
        global_batch_size=40,
        files_per_group=1,
        patience=0,
        num_threads=1,
        metric="catalogue_ndcg@10",
    )
    best = run_train(storage, "small", "trained", model, training, 5, False).details["best"]

    config = EvaluationConfig(split="validation", protocol="full", baselines=(), num_replicates=0, report=False)
    measured = run_evaluate(spark, storage, "small", "trained", config, 1).results[0].metrics

    assert 0.0 < best["catalogue_ndcg@10"] < 1.0
    for metric in ("ndcg@10", "hit_rate@10", "mrr"):
        assert measured[metric] == pytest.approx(best[f"catalogue_{metric}"], rel=1e-9)  # Sums are rounded.
