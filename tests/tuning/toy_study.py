"""A study small enough to train for real in a test."""

from pathlib import Path
from typing import Any

from seqrec.core.config import load_section
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig
from seqrec.tuning.config import TuningConfig
from seqrec.tuning.stage import TuningInputs, run_tune

MODEL = {"item_dim": 8, "category_dim": 4, "layer_sizes": [8], "dropout": [0.1], "max_history_length": 8}
TRAINING = {"num_epochs": 2, "global_batch_size": 64, "num_streams": 2, "num_threads": 1}
RATE = "training.optimizer.learning_rate"


def toy_configs(**tuning: Any) -> tuple[ModelConfig, TrainingConfig, TuningConfig]:
    values: dict[str, Any] = {
        "num_trials": 2,
        "num_compared_seeds": 0,
        "space": {RATE: {"low": 1.0e-4, "high": 1.0e-1, "log": True}, "model.item_dim": {"choices": [4, 8]}},
    }
    model = load_section(ModelConfig, MODEL, "model")
    training = load_section(TrainingConfig, TRAINING, "training")
    return model, training, load_section(TuningConfig, {**values, **tuning}, "tuning")


def tune_toy(folder: Path, spark: Any = None, study: str = "toy", force: bool = False, **tuning: Any) -> Manifest:
    storage = Storage(str(folder))
    model, training, config = toy_configs(**tuning)
    inputs = TuningInputs(storage, "toy", study, model, training, config, EvaluationConfig(), seed=1)
    return run_tune(spark, inputs, force)
