"""A step compiled by XLA, with fixed shapes, does what the step with free shapes does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.batch import RunBatch, TrainBatch
from seqrec.core.errors import ConfigError
from seqrec.core.manifest import Manifest
from seqrec.models.config import ModelConfig
from seqrec.models.layers.fixed_shapes import FixedShapes, num_slots, use_fixed_shapes
from seqrec.models.layers.training_context import TrainingContext, draw_uniform
from seqrec.models.registry import build_model
from seqrec.training import loop
from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.full_softmax import full_softmax_loss
from seqrec.training.objectives.registry import build_objective, check_objective
from seqrec.training.optimizer_config import OptimizerConfig
from seqrec.training.optimizers import build_optimizer, merge_rows, without_empty
from seqrec.training.train_step import TrainStep
from seqrec.training.workers.exchange import Workers
from tests.models.random_batches import NUM_TRAINED, random_history, random_vocabulary
from tests.models.retrieval_batches import random_runs
from tests.training.small_runs import small_model, small_training

NUM_STREAMS, BATCH, LENGTH = 2, 6, 5
NO_DROPOUT = {
    "sasrec": {"embedding_dropout": 0.0, "attention_dropout": 0.0, "hidden_dropout": 0.0},
    "gru4rec": {"embedding_dropout": 0.0, "hidden_dropout": 0.0},
    "sli_rec": {"hidden_size": 8, "attention_size": 7, "attention_layer_sizes": [7, 5]},
}
SHARED = LossConfig(
    name="shared_softmax",
    options={
        "shared_softmax": {"num_negatives": 8, "uniform_share": 0.5, "popularity_share": 0.5, "in_batch_share": 0.0}
    },
)
CASES = {
    "a2svd": ("a2svd", LossConfig()),
    "sli_rec": ("sli_rec", LossConfig()),
    "gru": ("gru", LossConfig(negatives="popularity", correct_log_q=True)),
    "sasrec": ("sasrec", LossConfig()),
    "sasrec, shared": ("sasrec", SHARED),
    "gru4rec": ("gru4rec", LossConfig()),
}
every_case = pytest.mark.parametrize("case", CASES)


def small(name: str) -> ModelConfig:
    options = {name: NO_DROPOUT[name]} if name in NO_DROPOUT else {}
    return ModelConfig(
        name=name, max_history_length=LENGTH, item_dim=5, category_dim=3, layer_sizes=(6, 4), dropout=(0.0, 0.0),
        embed_l2=0.01, options=options,
    )  # fmt: skip


def random_batch(name: str, seed: int) -> TrainBatch | RunBatch:
    """A batch of NumPy arrays; the last history of a stream is empty, and some targets are not trained on."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, LENGTH + 1, [NUM_STREAMS, BATCH])
    lengths[:, 0], lengths[:, -1] = LENGTH, 0
    if name in ("sasrec", "gru4rec"):
        runs = random_runs(rng, NUM_STREAMS, BATCH, LENGTH, lengths)
        targets = rng.integers(1, NUM_TRAINED + 3, runs.items.shape).astype(np.int32)
        return RunBatch(runs, np.where(runs.items > 0, targets, 0).astype(np.int32))
    targets = rng.integers(1, NUM_TRAINED + 1, [NUM_STREAMS, BATCH]).astype(np.int32)
    return TrainBatch(random_history(rng, NUM_STREAMS, BATCH, LENGTH, lengths), targets)


def lengths_of(batch: TrainBatch | RunBatch) -> np.ndarray:
    return batch.history.length if isinstance(batch, TrainBatch) else batch.runs.length


class Learner:
    def __init__(self, case: str, jit: str) -> None:
        name, loss = CASES[case]
        vocabulary = random_vocabulary()
        config = small_training(
            loss=loss, jit=jit, num_streams=NUM_STREAMS, global_batch_size=NUM_STREAMS * BATCH,
            optimizer=OptimizerConfig(name="row_sparse_adam", learning_rate=0.01),
        )  # fmt: skip
        self.model = build_model(small(name), vocabulary, 1)
        objective = build_objective(loss, name, vocabulary.train_count[: NUM_TRAINED + 1])
        optimizer = build_optimizer(config.optimizer, self.model.trained_variables)
        self.step = TrainStep(self.model, optimizer, objective, Workers(), config, 1, range(NUM_STREAMS))


@every_case
def test_fixed_shapes_give_the_same_loss_gradients_and_moments(case: str) -> None:
    name, loss = CASES[case]
    vocabulary = random_vocabulary()
    model = build_model(small(name), vocabulary, 1)
    objective = build_objective(loss, name, vocabulary.train_count[: NUM_TRAINED + 1])
    given = random_batch(name, 3)
    batch = tf.nest.map_structure(tf.convert_to_tensor, given)

    def computed(shapes: FixedShapes | None) -> list[Any]:
        with use_fixed_shapes(shapes), tf.GradientTape() as tape:
            training = TrainingContext(1, tf.constant(4, tf.int64), tf.constant(range(NUM_STREAMS)))
            total = sum(objective.loss(model, batch, training))
        gradients = tape.gradient(total, list(model.trained_variables))
        dense = [tf.convert_to_tensor(each) for each in gradients if each is not None]
        return [total, training.moments(), *dense]

    free, fixed = computed(None), computed(FixedShapes(num_slots(lengths_of(given), 1), LENGTH))

    assert len(free) == len(fixed)
    for one, other in zip(free, fixed, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


QUICKLY_COMPILED = ("a2svd", "sasrec")


@pytest.mark.parametrize(
    "case", [case if case in QUICKLY_COMPILED else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_a_compiled_step_has_the_loss_of_one_that_is_not(case: str) -> None:
    plain, compiled = Learner(case, "off"), Learner(case, "on")
    batches = [random_batch(CASES[case][0], seed) for seed in (3, 4)]

    for number, batch in enumerate(batches):
        expected, outcome = plain.step(batch, number, False), compiled.step(batch, number, False)
        np.testing.assert_allclose(outcome.loss, expected.loss, rtol=1e-5)
        np.testing.assert_allclose(outcome.gradient_norm, expected.gradient_norm, rtol=1e-4)

    shapes = {num_slots(lengths_of(batch), 1) for batch in batches}
    assert compiled.step.num_graphs == len(shapes)
    # Not the last bias: it moves all logits alike, so that its gradient is rounding, which Adam makes whole steps of.
    variables = {name: each for name, each in plain.model.named_variables().items() if "output_bias" not in name}
    for name, variable in variables.items():
        np.testing.assert_allclose(compiled.model.named_variables()[name], variable, rtol=1e-3, atol=1e-4, err_msg=name)


def test_a_compiled_run_reads_its_outcomes_rarely_and_ends_alike(
    train: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = loop._read_outcomes
    monkeypatch.setattr(loop, "_read_outcomes", lambda *given: reads.append(1) or read(*given))
    settings = {"model": small_model(name="a2svd", dropout=(0.0, 0.0)), "num_epochs": 1, "log_every_steps": 100}
    plain = train(run="plain", jit="off", **settings)
    num_steps, reads[:] = len(reads), []

    compiled = train(run="compiled", jit="on", **settings)

    expected, row = plain.details["best"], compiled.details["best"]
    assert num_steps == expected["steps"] > 2 * len(reads)
    assert row["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert row["group_auc"] == pytest.approx(expected["group_auc"], abs=2e-3)


@pytest.mark.parametrize("shape", [[5], [3, 4]])
def test_uniform_draws_are_those_of_tensorflow_compiled_or_not(shape: list[int]) -> None:
    key = tf.constant([12345678912, -98765432123], tf.int64)
    expected = tf.random.stateless_uniform(shape, key, dtype=tf.float64)

    np.testing.assert_array_equal(draw_uniform(shape, key), expected)
    # A key that is an argument: TensorFlow cannot compute it beforehand.
    compiled = tf.function(lambda key: draw_uniform(shape, key), jit_compile=True, autograph=False)
    np.testing.assert_array_equal(compiled(key), expected)


def test_slices_are_merged_alike_where_their_number_is_fixed() -> None:
    rng = np.random.default_rng(5)
    values, rows = rng.normal(size=[9, 2]).astype(np.float32), rng.integers(0, 4, 9).astype(np.int32)
    slices = tf.IndexedSlices(tf.constant(values), tf.constant(rows), tf.constant([6, 2]))
    expected = np.zeros([6, 2], np.float32)
    np.add.at(expected, rows, values)

    with use_fixed_shapes(FixedShapes(8, 8)):
        merged = merge_rows(slices)
    kept = without_empty(merged)

    assert merged.indices.shape == [9]
    assert sorted(kept.indices.numpy()) == sorted(set(rows))
    np.testing.assert_allclose(tf.convert_to_tensor(kept), expected, rtol=1e-6)


def test_slots_hold_the_fullest_stream_of_any_part_in_few_sizes() -> None:
    length = np.array([[3, 5, 2, 9], [1, 1, 1, 1]], np.int32)

    assert num_slots(length, 1) == 24  # 19 events and a place of padding for each of 4.
    assert num_slots(length, 2) == 16  # 11 and 2.
    sizes = {num_slots(np.full([1, 1], number), 1) for number in range(10_000)}
    assert len(sizes) < 50
    assert all(num_slots(np.full([1, 1], n), 1) <= 1.25 * (n + 1) + 8 for n in range(10_000))


@pytest.mark.parametrize("options", [{}, {"in_batch_share": 0.5, "uniform_share": 0.5, "popularity_share": 0.0}])
def test_a_loss_without_fixed_shapes_is_refused(options: dict[str, float]) -> None:
    loss = LossConfig(name="shared_softmax", options={"shared_softmax": options}) if options else LossConfig(name="bce")

    with pytest.raises(ConfigError, match="training.jit=on needs fixed shapes"):
        check_objective(loss, "sasrec", "on")
    check_objective(loss, "sasrec", "auto")


def test_the_full_softmax_fills_its_last_block_without_a_trace() -> None:
    rng = np.random.default_rng(6)
    states, vectors = (tf.Variable(rng.normal(size=[rows, 4]), dtype=tf.float32) for rows in (7, 9))
    targets = tf.constant(rng.integers(0, 9, 7), tf.int32)
    is_target = tf.constant([1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0])

    def computed(shapes: FixedShapes | None, rows: list[int], weights: tf.Tensor | None) -> list[tf.Tensor]:
        with use_fixed_shapes(shapes), tf.GradientTape() as tape:
            given = (tf.gather(states, rows), vectors, tf.gather(targets, rows))
            loss = full_softmax_loss(*given, 3, weights=weights)  # Blocks of 3: of 7 rows the last has 1.
        return [loss, *(tf.convert_to_tensor(each) for each in tape.gradient(loss, [states, vectors]))]

    free = computed(None, [0, 1, 3, 4, 5], None)
    fixed = computed(FixedShapes(7, 7), list(range(7)), is_target)

    for one, other in zip(free, fixed, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
