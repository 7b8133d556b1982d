from collections.abc import Callable

from pyspark.sql import SparkSession

from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.stage import run_evaluate

CONFIG = EvaluationConfig(baselines=("popularity", "last_category", "item_id"), num_replicates=100)


def test_run_evaluate_writes_what_it_returns(
    spark: SparkSession, storage: Storage, prepare_small: Callable, train_stand_in: Callable
) -> None:
    train_stand_in(prepare_small())

    evaluation = run_evaluate(spark, storage, "small", "small-a2svd", CONFIG, seed=1)

    assert [result.name for result in evaluation.results] == ["small-a2svd", "popularity", "last_category", "item_id"]
    assert storage.read_bytes("runs/small-a2svd/evaluations/test-sampled.json").decode() == evaluation.to_json()
