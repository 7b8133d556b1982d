"""What training asks of the prepared data before it begins."""

from collections.abc import Callable
from typing import Any

import pytest

from seqrec.core.errors import ConfigError, DataError
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.training.checks import check_memory, check_prepared
from seqrec.training.objectives.config import LossConfig
from seqrec.training.stage import run_train
from tests.feed.prepared_data import write_prepared
from tests.training.small_runs import SEED, small_model, small_training

Train = Callable[..., Manifest]


def test_run_train_refuses_data_without_validation_rows_before_it_writes(tmp_path: Any) -> None:
    storage, _ = write_prepared(tmp_path, num_users=150, is_validated=False)

    with pytest.raises(DataError, match=r"prepared 'toy': sequences/validation has no rows.*prepare the data again"):
        run_train(storage, "toy", "r", small_model(), small_training(), SEED, False)
    assert not storage.exists("runs/r")
    _, prepared = write_prepared(tmp_path / "again", num_users=150)
    check_prepared(prepared, small_model(), small_training())


@pytest.mark.parametrize(
    ("model", "training", "message"),
    [
        pytest.param(
            {},
            {"metric": "hit_rate@10"},
            r"training.metric: hit_rate@10 of the target and 9 .* set training.metric=hit_rate@9, or",
            id="metric",
        ),
        pytest.param(
            {},
            {"metrics_at": (2, 12)},
            r"training.metrics_at: hit_rate@12 .* set training.metrics_at=\[2\], or",
            id="shown",
        ),
        pytest.param(
            {"max_history_length": 51},
            {},
            r"max_history_length=51 but prepared 'toy' stores 50 events before a target: set .*_history_length=50, or",
            id="history",
        ),
    ],
)
def test_run_train_refuses_what_the_data_cannot_give(
    train: Train, prepared: tuple[Storage, Manifest], model: dict[str, Any], training: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(run="asks-too-much", model=small_model(**model), **training)

    assert not prepared[0].exists("runs/asks-too-much")


def test_check_prepared_takes_what_the_data_just_gives(prepared: tuple[Storage, Manifest]) -> None:
    check_prepared(prepared[1], small_model(max_history_length=50), small_training(metric="hit_rate@9"))
    check_prepared(prepared[1], small_model(), small_training(metric="ndcg@20", metrics_at=()))


def test_check_memory_states_what_the_full_softmax_needs(prepared: tuple[Storage, Manifest]) -> None:
    loss = LossConfig(options={"full_softmax": {"block_mb": 100}})

    line = check_memory(prepared[1], small_model(name="sasrec"), small_training(loss=loss))

    assert line == "loss: full_softmax over 60 items, about 210 MB a worker"
    assert check_memory(prepared[1], small_model(), small_training()) is None


def test_more_memory_than_there_is_is_refused_before_anything_is_written(
    train: Train, prepared: tuple[Storage, Manifest]
) -> None:
    loss = LossConfig(options={"full_softmax": {"block_mb": 10**9}})

    with pytest.raises(ConfigError, match=r"full_softmax needs about .* GB for 60 items, .*=shared_softmax, or a sm"):
        train(run="too-large", model=small_model(name="sasrec"), loss=loss)
    assert not prepared[0].exists("runs/too-large")
