from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.errors import ConfigError
from seqrec.training.optimizer_config import OptimizerConfig
from seqrec.training.optimizers import Adam, RowSparseAdam, build_optimizer, merge_rows

RATE, BETA_1, BETA_2, EPSILON = 0.01, 0.8, 0.95, 1e-6
CONFIG = OptimizerConfig(learning_rate=RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)


def numpy_adam(weights, gradients):
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for step, gradient in enumerate(gradients, start=1):
        first = BETA_1 * first + (1 - BETA_1) * gradient
        second = BETA_2 * second + (1 - BETA_2) * gradient**2
        rate = RATE * np.sqrt(1 - BETA_2**step) / (1 - BETA_1**step)
        weights = weights - rate * first / (np.sqrt(second) + EPSILON)
    return weights


def slices(rows, values, height=5):
    shape = tf.constant([height, values.shape[1]])
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(rows), shape)


def test_adam_equals_numpy():
    rng = np.random.default_rng(1)
    start, gradients = rng.normal(size=[5, 2]), rng.normal(size=[4, 5, 2])
    variable = tf.Variable(start, dtype=tf.float32, name="w")
    optimizer = Adam([variable], CONFIG)

    for gradient in gradients:
        optimizer.apply([tf.constant(gradient, tf.float32)], [variable], RATE)

    np.testing.assert_allclose(variable, numpy_adam(start, gradients), atol=1e-5)


def test_adam_moves_rows_that_have_no_gradient_any_more():
    variable = tf.Variable(tf.zeros([5, 2]), name="w")
    optimizer = Adam([variable], CONFIG)
    optimizer.apply([slices([3], np.ones([1, 2]))], [variable], RATE)
    before = variable.numpy()

    optimizer.apply([slices([1], np.ones([1, 2]))], [variable], RATE)

    assert (variable.numpy()[3] < before[3]).all()


@pytest.mark.parametrize("merge", [lambda gradient: gradient, merge_rows], ids=["as_they_are", "merged_before"])
@pytest.mark.parametrize("optimizer_class", [Adam, RowSparseAdam])
def test_repeated_rows_are_added_before_the_moments(optimizer_class, merge):
    rng = np.random.default_rng(2)
    start, values = rng.normal(size=[3, 2]), rng.normal(size=[2, 4, 2])
    variable = tf.Variable(start, dtype=tf.float32, name="w")
    optimizer = optimizer_class([variable], CONFIG)

    for value in values:
        optimizer.apply([merge(slices([0, 2, 0, 1], value, height=3))], [variable], RATE)

    summed = np.stack([values[:, 0] + values[:, 2], values[:, 3], values[:, 1]], axis=1)
    np.testing.assert_allclose(variable, numpy_adam(start, summed), atol=1e-5)


def test_row_sparse_adam_leaves_other_rows_and_their_moments_alone():
    variable = tf.Variable(tf.ones([5, 2]), name="w")
    optimizer = RowSparseAdam([variable], CONFIG)

    for _ in range(3):
        optimizer.apply([slices([3, 1], np.ones([2, 2]))], [variable], RATE)

    slots = optimizer.named_slots()
    untouched = [0, 2, 4]
    np.testing.assert_array_equal(variable.numpy()[untouched], 1.0)
    np.testing.assert_array_equal(slots["w/first_moment"].numpy()[untouched], 0.0)
    np.testing.assert_array_equal(slots["w/second_moment"].numpy()[untouched], 0.0)
    assert (variable.numpy()[[1, 3]] < 1.0).all()


def test_row_sparse_adam_updates_dense_gradients_like_adam():
    gradient = tf.constant([[0.5, -2.0]])
    variables = [tf.Variable([[1.0, 1.0]], name="w") for _ in range(2)]

    for optimizer_class, variable in zip((Adam, RowSparseAdam), variables, strict=True):
        optimizer_class([variable], CONFIG).apply([gradient], [variable], RATE)

    np.testing.assert_array_equal(variables[0], variables[1])


def test_apply_leaves_a_variable_without_gradient():
    variable = tf.Variable([1.0], name="w")

    RowSparseAdam([variable], CONFIG).apply([None], [variable], RATE)

    np.testing.assert_array_equal(variable, [1.0])


def test_named_slots_restore_a_run():
    rng = np.random.default_rng(3)
    gradients = [slices([0, 2], rng.normal(size=[2, 2])) for _ in range(4)]
    whole = tf.Variable(tf.ones([5, 2]), name="w")
    optimizer = RowSparseAdam([whole], CONFIG)
    for gradient in gradients[:2]:
        optimizer.apply([gradient], [whole], RATE)
    resumed = tf.Variable(whole.numpy(), name="w")
    other = RowSparseAdam([resumed], CONFIG)
    for name, slot in other.named_slots().items():
        slot.assign(optimizer.named_slots()[name])

    for gradient in gradients[2:]:
        optimizer.apply([gradient], [whole], RATE)
        other.apply([gradient], [resumed], RATE)

    np.testing.assert_array_equal(whole, resumed)


def test_apply_works_inside_a_function_with_a_changing_rate():
    variable = tf.Variable([1.0], name="w")
    optimizer = Adam([variable], CONFIG)
    step = tf.function(lambda rate: optimizer.apply([tf.constant([1.0])], [variable], rate))

    step(tf.constant(0.5))
    step(tf.constant(0.0))

    np.testing.assert_allclose(variable, [0.5], atol=1e-4)  # Adam's first step is the rate itself.


def test_merge_rows_adds_repeated_rows():
    merged = merge_rows(slices([4, 1, 4], np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]])))

    np.testing.assert_array_equal(merged.indices, [4, 1])
    np.testing.assert_array_equal(merged.values, [[11.0, 22.0], [3.0, 4.0]])


@pytest.mark.parametrize("optimizer_class", [Adam, RowSparseAdam])
def test_weight_decay_takes_a_share_off_kernels_before_the_step(optimizer_class):
    config = replace(CONFIG, weight_decay=0.1)
    start = np.array([[2.0, -4.0]])
    names = ("kernel", "hidden/bias", "norm/scale", "output/bias")
    shapes = ([1, 2], [2], [2], [1, 2])
    variables = [
        tf.Variable(start.reshape(shape), dtype=tf.float32, name=n) for n, shape in zip(names, shapes, strict=True)
    ]
    optimizer = optimizer_class(variables, config)

    optimizer.apply([tf.ones(shape) for shape in shapes], variables, RATE)

    plain = numpy_adam(start, [np.ones([1, 2])])
    np.testing.assert_allclose(variables[0], plain - 0.1 * RATE * start, atol=1e-6)
    for variable in variables[1:]:
        np.testing.assert_allclose(variable.numpy().reshape(1, 2), plain, atol=1e-6)


@pytest.mark.parametrize("merge", [lambda gradient: gradient, merge_rows], ids=["as_they_are", "merged_before"])
def test_weight_decay_of_a_table_is_that_of_the_rows_in_the_batch(merge):
    config = replace(CONFIG, weight_decay=0.1)
    variable = tf.Variable(tf.fill([5, 2], 2.0), name="items")

    RowSparseAdam([variable], config).apply([merge(slices([3, 1, 3], np.zeros([3, 2])))], [variable], RATE)

    expected = np.full([5, 2], 2.0)
    expected[[1, 3]] *= 1 - 0.1 * RATE
    np.testing.assert_allclose(variable, expected, rtol=1e-6)


def test_weight_decay_of_a_table_with_dense_adam_is_that_of_every_row():
    config = replace(CONFIG, weight_decay=0.1)
    variable = tf.Variable(tf.fill([5, 2], 2.0), name="items")

    Adam([variable], config).apply([slices([3], np.zeros([1, 2]))], [variable], RATE)

    np.testing.assert_allclose(variable, np.full([5, 2], 2.0 * (1 - 0.1 * RATE)), rtol=1e-6)


def test_build_optimizer_names_the_known_ones():
    config = OptimizerConfig()
    object.__setattr__(config, "name", "sgd")

    with pytest.raises(ConfigError, match="no 'sgd'. Known: dense_adam, row_sparse_adam"):
        build_optimizer(config, [])
