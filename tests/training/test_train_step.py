import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.batch import EventRuns, RunBatch, TrainBatch
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import read_vocabulary
from seqrec.feed.windows import WindowFeed
from seqrec.models.config import ModelConfig
from seqrec.models.layers.training_context import TrainingContext
from seqrec.models.registry import build_model
from seqrec.training.checks import layout_of
from seqrec.training.objectives.registry import build_objective
from seqrec.training.optimizer_config import OptimizerConfig
from seqrec.training.optimizers import build_optimizer
from seqrec.training.train_step import TrainStep
from seqrec.training.workers.exchange import Workers
from tests.training.objectives.toy_objective import Pull, PullOptions
from tests.training.small_runs import SEED, small_model, small_training


class Learner:
    """A model, its step and its batches, of one worker alone."""

    def __init__(
        self,
        prepared: tuple[Storage, Manifest],
        model: ModelConfig | None = None,
        num_trained: int | None = None,
        **changes: Any,
    ):
        config = small_training(**changes)
        vocabulary = read_vocabulary(*prepared)
        vocabulary = replace(vocabulary, num_trained_items=num_trained or vocabulary.num_trained_items)
        self.model = build_model(model or small_model(dropout=(0.0, 0.0)), vocabulary, SEED)
        variables = self.model.trained_variables
        self.optimizer = build_optimizer(config.optimizer, variables)
        train_count = vocabulary.train_count[: vocabulary.num_trained_items + 1]
        self.objective: Any = build_objective(config.loss, self.model.config.name, train_count)
        files = prepared[1].table("sequences/train").files
        self._feed = WindowFeed(prepared[0], files, layout_of(config, SEED), worker_rank=0, max_history_length=8)
        self.step = TrainStep(
            self.model, self.optimizer, self.objective, Workers(), config, SEED, self._feed.stream_ids
        )  # fmt: skip

    def batches(self) -> Iterator[TrainBatch]:
        for batch in self._feed.batches(0):
            yield tf.nest.map_structure(tf.convert_to_tensor, batch)

    def negatives(self, batch: TrainBatch, stream_ids: Sequence[int]) -> np.ndarray:
        training = TrainingContext(SEED, tf.constant(7, tf.int64), tf.constant(list(stream_ids)))
        return self.objective.sampler.draw(batch.target_item, batch.history, training).items.numpy()

    def weights(self) -> dict[str, np.ndarray]:
        return {name: variable.numpy() for name, variable in self.model.named_variables().items()}


def test_step_learns(prepared: tuple[Storage, Manifest]) -> None:
    learner = Learner(prepared, optimizer=OptimizerConfig(learning_rate=0.01))

    losses = [float(learner.step(batch, n, False).loss) for n, batch in enumerate(learner.batches())]

    assert losses[0] == pytest.approx(np.log(5), abs=0.01)
    assert np.mean(losses[-5:]) < 1.4


def test_step_changes_only_the_rows_of_the_batch(prepared: tuple[Storage, Manifest]) -> None:
    learner = Learner(prepared, global_batch_size=8)
    before = learner.weights()
    batch = next(learner.batches())
    used = np.union1d(batch.history.items.numpy(), batch.target_item.numpy())

    learner.step(batch, 0, False)

    moved = np.flatnonzero(np.any(learner.weights()["embedding/items"] != before["embedding/items"], axis=1))
    assert len(moved) > 5
    assert set(moved) <= set(used)


@pytest.mark.parametrize("optimizer", ["row_sparse_adam", "dense_adam"])
def test_step_never_trains_the_row_of_items_not_trained_on(prepared: tuple[Storage, Manifest], optimizer: str) -> None:
    # As of data prepared with a run's vocabulary: items 51 to 60 are in histories and among the targets.
    learner = Learner(prepared, num_trained=50, optimizer=OptimizerConfig(name=optimizer))
    before = learner.weights()["embedding/items"]

    for number, batch in zip(range(3), learner.batches(), strict=False):
        assert (batch.target_item.numpy() > 50).any()
        assert (batch.history.items.numpy() > 50).any()
        learner.step(batch, number, False)

    after = learner.weights()["embedding/items"]
    assert after.shape[0] == 52
    assert not after[51].any()
    assert (after[1:51] != before[1:51]).any(axis=1).all()


def test_step_moves_batch_norm_by_the_mean_over_streams(prepared: tuple[Storage, Manifest]) -> None:
    learner = Learner(prepared)

    learner.step(next(learner.batches()), 0, False)

    weights = learner.weights()
    assert np.all(weights["tower/norm_0/moving_variance"] < 0.951)
    assert np.all(weights["tower/norm_0/moving_variance"] > 0.949)
    assert np.any(weights["tower/norm_0/moving_mean"] != 0.0)


def test_step_leaves_biases_before_batch_norm_alone(prepared: tuple[Storage, Manifest]) -> None:
    learner = Learner(prepared)

    for number, batch in enumerate(learner.batches()):
        learner.step(batch, number, False)

    assert not learner.weights()["tower/bias_0"].any()


def test_step_passes_on_a_request_to_stop(prepared: tuple[Storage, Manifest]) -> None:
    learner = Learner(prepared)
    batch = next(learner.batches())

    assert float(learner.step(batch, 0, False).stop) == 0.0
    assert float(learner.step(batch, 1, True).stop) > 0.0


def test_step_works_on_plain_variables_only(prepared: tuple[Storage, Manifest]) -> None:
    # Horovod averages no gradients of Keras variables, and says nothing.
    learner = Learner(prepared)
    every = [*learner.model.named_variables().values(), *learner.optimizer.named_slots().values()]

    assert all(isinstance(variable, tf.Variable) for variable in every)
    assert not any("keras" in kind.__module__ for variable in every for kind in type(variable).__mro__)


@pytest.mark.parametrize("num_workers", [2, 4])
def test_negatives_do_not_depend_on_the_workers(prepared: tuple[Storage, Manifest], num_workers: int) -> None:
    learner = Learner(prepared)
    batch = next(learner.batches())
    alone = learner.negatives(batch, range(4))

    for rank in range(num_workers):
        streams = range(rank, 4, num_workers)
        share = tf.nest.map_structure(lambda x, own=streams: tf.gather(x, list(own)), batch)
        assert np.array_equal(learner.negatives(share, streams), alone[list(streams)])


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_step_takes_its_share_of_the_learning_rate(prepared: tuple[Storage, Manifest], share: float) -> None:
    learner = Learner(prepared, learning_rate_for_batch_size=40)
    before = learner.weights()["embedding/items"]

    outcome = learner.step(next(learner.batches()), 0, False, share)

    # Adam's first step moves every weight that has a gradient by the rate.
    moved = np.abs(learner.weights()["embedding/items"] - before).max()
    assert moved == pytest.approx(0.002 * share, rel=1e-2)
    assert float(outcome.learning_rate) == pytest.approx(0.002 * share)


def test_clipping_bounds_the_norm_of_all_gradients_together(prepared: tuple[Storage, Manifest]) -> None:
    plain, clipped = Learner(prepared), Learner(prepared, max_gradient_norm=1e-3)
    batch = next(plain.batches())

    norms = [float(learner.step(batch, 0, False).gradient_norm) for learner in (plain, clipped)]

    slots = [
        np.concatenate([m.numpy().ravel() for n, m in learner.optimizer.named_slots().items() if "first" in n])
        for learner in (plain, clipped)
    ]
    assert norms[0] == norms[1] > 1e-3
    assert np.linalg.norm(slots[0]) == pytest.approx(0.1 * norms[0], rel=1e-4)
    assert np.linalg.norm(slots[1]) == pytest.approx(0.1 * 1e-3, rel=1e-4)


def test_accumulated_parts_give_the_gradient_of_the_whole(prepared: tuple[Storage, Manifest]) -> None:
    # Without batch norm and in-batch negatives nothing looks across examples, so parts add up to the whole.
    model = small_model(batch_norm=False, dropout=(0.0, 0.0))
    learners = [Learner(prepared, model, gradient_accumulation=parts) for parts in (1, 2)]
    batch = next(learners[0].batches())
    negatives = tf.reverse(batch.target_item, axis=[1])[:, :, None] % 60 + 1

    for learner in learners:
        learner.objective.sampler.draw = _FixedNegatives(negatives)
        learner.step(batch, 0, False)

    firsts = [learner.optimizer.named_slots() for learner in learners]
    for name, slot in firsts[0].items():
        np.testing.assert_allclose(slot.numpy(), firsts[1][name].numpy(), rtol=1e-4, atol=1e-8, err_msg=name)


class _FixedNegatives:
    """Hands out given negatives, part by part."""

    def __init__(self, negatives: tf.Tensor):
        self._rest = negatives

    def __call__(self, target_item: tf.Tensor, history: Any, training: Any, listed_items: Any = None) -> Any:
        from seqrec.training.objectives.negatives import SampledNegatives

        size = target_item.shape[1]
        items, self._rest = self._rest[:, :size], self._rest[:, size:]
        return SampledNegatives(items, tf.ones(items.shape, tf.bool))


def pull(
    prepared: tuple[Storage, Manifest],
    target_items: list[list[int]],
    workers: Workers,
    num_parts: int = 1,
) -> tuple[float, np.ndarray, np.ndarray]:
    """A step of an objective that reads runs: its loss, the items' rows before it, and their gradient."""
    model = small_model(batch_norm=False, dropout=(0.0, 0.0))
    learner = Learner(prepared, model, global_batch_size=16, gradient_accumulation=num_parts)
    config = small_training(global_batch_size=16, gradient_accumulation=num_parts)
    objective = Pull(config.loss, PullOptions(), np.ones(61))
    step = TrainStep(learner.model, learner.optimizer, objective, workers, config, SEED, [0])
    rows = learner.weights()["embedding/items"]
    targets = tf.constant([target_items], tf.int32)  # [1, B, L]
    runs = EventRuns(tf.ones_like(targets), tf.fill(targets.shape[:2], targets.shape[2]), tf.zeros(targets.shape))

    outcome = step(RunBatch(runs, targets), 0, False)

    first_moment = learner.optimizer.named_slots()["embedding/items/first_moment"].numpy()
    return float(outcome.loss), rows, first_moment / 0.1


@pytest.mark.parametrize("num_parts", [1, 2])
def test_a_step_over_runs_takes_the_mean_over_all_targets(prepared: tuple[Storage, Manifest], num_parts: int) -> None:
    # Four targets, three of them in the second half of the batch.
    loss, rows, gradient = pull(prepared, [[5, 0, 0], [7, 9, 7]], Workers(), num_parts=num_parts)

    assert loss == pytest.approx(np.square(rows[[5, 7, 9, 7]]).sum() / 4, rel=1e-5)
    np.testing.assert_allclose(gradient[[5, 7, 9]], 2 * rows[[5, 7, 9]] * np.array([[1], [2], [1]]) / 4, rtol=1e-4)


def test_a_step_over_runs_counts_the_targets_of_all_workers(prepared: tuple[Storage, Manifest]) -> None:
    class OneOfTwo(Workers):
        """A worker with three targets beside another one with a single target."""

        def mean(self, value: tf.Tensor) -> tf.Tensor:
            return (value + 1.0) / 2.0

    loss, rows, gradient = pull(prepared, [[5, 0, 7], [0, 0, 9]], OneOfTwo())

    # The mean over the two workers follows: this worker's share is twice its part of the mean over four targets.
    assert loss == pytest.approx(2 * np.square(rows[[5, 7, 9]]).sum() / 4, rel=1e-5)
    np.testing.assert_allclose(gradient[[5, 7, 9]], 2 * 2 * rows[[5, 7, 9]] / 4, rtol=1e-4)


_WORKER_THAT_ENDS_AT_ONCE = """
import os, sys
from seqrec.core.storage import Storage
from seqrec.training.stage import run_train
from tests.training.objectives.toy_objective import Pull, PullOptions
from tests.training.small_runs import SEED, small_model, small_training
run_train(Storage(sys.argv[1]), "toy", "unclean", small_model(), small_training(num_epochs=1), SEED, False)
sys.stdout.flush()
os._exit(7)
"""


def test_training_leaves_nothing_in_the_temporary_folder_of_a_process_that_ends_at_once(
    prepared: tuple[Storage, Manifest], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _WORKER_THAT_ENDS_AT_ONCE, prepared[0].root]

    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True
    )

    assert done.returncode == 7, done.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == []
