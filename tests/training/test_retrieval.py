"""Training of retrieval models on runs of events, with every objective that reads them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from seqrec.core.errors import TrainingError
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.feed import runs
from seqrec.feed.runs import count_runs
from seqrec.training import loop
from seqrec.training.objectives.config import LossConfig
from seqrec.training.optimizer_config import OptimizerConfig
from tests.training.small_runs import arrays, ask_to_stop, checkpoint_of_step, counting, differing, newest_checkpoint
from tests.training.small_runs import small_model as any_small_model

Train = Callable[..., Manifest]

DROPOUT = {"embedding_dropout": 0.1, "attention_dropout": 0.1, "hidden_dropout": 0.1}
LOSSES = {
    "full_softmax": LossConfig(),
    "shared_softmax": LossConfig(name="shared_softmax", options={"shared_softmax": {"num_negatives": 32}}),
    "bce": LossConfig(name="bce", negatives="uniform"),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


def settings(name: str, **changes: Any) -> dict[str, Any]:
    model = any_small_model(name="sasrec", options={"sasrec": DROPOUT})
    return {"model": model, "loss": LOSSES[name], "optimizer": OptimizerConfig(learning_rate=0.01), **changes}


@every_loss
def test_a_retrieval_model_learns_what_can_be_learnt(train: Train, name: str) -> None:
    manifest = train(**settings(name, num_epochs=30 if name == "bce" else 6))

    assert manifest.details["best"]["group_auc"] > 0.75


@every_loss
def test_training_on_runs_resumes_in_mid_epoch_to_the_same_bits(
    train: Train, prepared: tuple[Storage, Manifest], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(runs, "count_runs", lambda *given: counted.append(len(given[1])) or count_runs(*given))
    own = settings(name, weight_average=0.9 if name == "full_softmax" else 0.0)
    unbroken = train(run=f"unbroken-{name}", **own)
    assert len(counted) == 1  # By the driver; the worker is given the numbers.
    with monkeypatch.context() as patched:
        patched.setattr(loop, "_end_step", counting(loop._end_step, 6, ask_to_stop))
        with pytest.raises(TrainingError, match="Stopped after step 2 of epoch 2"):
            train(**own)

    resumed = train(**own)

    assert not differing(newest_checkpoint(prepared[0], resumed), newest_checkpoint(prepared[0], unbroken))
    best = arrays(prepared[0], f"runs/{unbroken.name}/{unbroken.id}/weights.npz")
    prefix = "average/" if own["weight_average"] else ""
    then = checkpoint_of_step(prepared[0], unbroken, unbroken.details["best"]["global_step"])
    assert not differing(best, {each: then[f"{prefix}{each}"] for each in best})


@pytest.mark.slow
@every_loss
def test_two_workers_equal_one_on_runs(train: Train, prepared: tuple[Storage, Manifest], name: str) -> None:
    every_step = {"num_epochs": 1, "checkpoint_every_steps": 1, "keep_last": 10}
    alone = train(run=f"alone-{name}", **settings(name, **every_step))

    together = train(run=f"together-{name}", num_workers=2, launcher="horovodrun", **settings(name, **every_step))

    for step in (1, 5):
        one, two = (checkpoint_of_step(prepared[0], manifest, step) for manifest in (alone, together))
        for variable in one:
            np.testing.assert_allclose(two[variable], one[variable], rtol=2e-3, atol=2e-5, err_msg=variable)
