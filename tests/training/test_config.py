import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

from seqrec.core.config import recipe_keys, recipe_settings
from seqrec.training.config import TrainingConfig
from seqrec.training.objectives.config import LossConfig
from seqrec.training.optimizer_config import OptimizerConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_epochs": 0}, "num_epochs is 0: give at least 1"),
        ({"keep_last": 0}, "keep_last is 0: give at least 1"),
        ({"warmup_steps": -1}, "warmup_steps is -1: give at least 0"),
        ({"warmup_epochs": -0.5}, "warmup_epochs is -0.5: give at least 0"),
        ({"warmup_steps": 9, "warmup_epochs": 1.0}, "warmup_steps is 9 and warmup_epochs is 1.0: give one of them"),
        (
            {"patience": 2, "optimizer": OptimizerConfig(schedule="plateau", plateau_patience=2)},
            "patience is 2, so training ends before optimizer.plateau_patience, 2, has cut the rate",
        ),
        ({"max_gradient_norm": 0.0}, "max_gradient_norm is 0.0: give more than 0, or null"),
        ({"metric": "accuracy"}, "metric is 'accuracy': give one of auc, group_auc, mrr, ndcg@K, hit_rate@K"),
        ({"metric": "ndcg@0"}, "metric is 'ndcg@0'"),
        (
            {"global_batch_size": 16, "num_streams": 4, "gradient_accumulation": 4},
            "global_batch_size is 16 with num_streams 4 and gradient_accumulation 4: .* at least 32, or other",
        ),
        ({"launcher": "in_process", "num_workers": 2}, "launcher is in_process but num_workers is 2"),
    ],
)
def test_training_config_refuses_impossible_values(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**changes)


def test_a_single_example_of_a_stream_is_enough_where_negatives_are_drawn_from_all_items() -> None:
    config = TrainingConfig(global_batch_size=4, num_streams=4, loss=LossConfig(negatives="uniform"))

    assert config.global_batch_size == 4


def test_only_these_settings_may_differ_between_a_checkpoint_and_the_run_that_resumes_it() -> None:
    free = {field.name for field in fields(TrainingConfig)} - set(recipe_keys(TrainingConfig))

    assert free == {
        *("run", "num_epochs", "num_workers", "resume", "dry_run", "launcher", "checkpoint_every_steps", "keep_last"),
        *("num_threads", "scratch", "validation_batch_size", "log_every_steps", "mlflow", "hosts", "start_timeout"),
        *("hang_timeout", "jit", "exchange"),
    }


def test_training_config_and_stage_load_without_engines() -> None:
    code = (
        "import sys, seqrec.training.config, seqrec.training.stage; "
        "print([m for m in ('tensorflow', 'petastorm', 'horovod', 'pyspark') if m in sys.modules])"
    )

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == "[]"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "cosine", "final_share": 1.5}, "final_share is 1.5: give a share from 0 to 1"),
        ({"schedule": "plateau", "plateau_factor": 1.0}, "plateau_factor is 1.0: give more than 0 and less than 1"),
        ({"schedule": "plateau", "plateau_patience": 0}, "plateau_patience is 0: give at least 1"),
        ({"final_share": 0.1}, "final_share is 0.1 but has no effect with schedule constant: .* to cosine or plateau"),
        ({"schedule": "cosine", "plateau_patience": 4}, "plateau_patience is 4 but has no effect .* 1, or .* plateau"),
    ],
)
def test_optimizer_config_refuses_impossible_schedules(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**changes)


def test_the_recipe_of_the_optimizer_is_that_of_runs_made_before_there_were_schedules() -> None:
    before = {"name", "learning_rate", "beta_1", "beta_2", "epsilon"}

    assert set(recipe_settings(OptimizerConfig())) == before
    assert set(recipe_settings(OptimizerConfig(schedule="cosine", final_share=0.1))) == {
        *before,
        *("schedule", "final_share"),
    }
    assert "warmup_epochs" not in recipe_settings(TrainingConfig())


def test_the_recipe_of_the_loss_is_that_of_runs_made_before_there_were_other_objectives() -> None:
    before = {"num_negatives", "negatives", "popularity_exponent", "correct_log_q", "exclude_own_items"}

    assert set(recipe_settings(LossConfig())) == before
    assert set(recipe_settings(LossConfig(name="other", options={"other": {}}))) == before | {"name", "options"}
