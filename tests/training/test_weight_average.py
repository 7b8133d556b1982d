import numpy as np
import pytest
import tensorflow as tf

from seqrec.training.optimizers import WeightAverage


def test_an_average_follows_its_formula() -> None:
    rng = np.random.default_rng(1)
    walk = rng.normal(size=[30, 2, 3]).astype(np.float32)
    variable = tf.Variable(walk[0], name="kernel")
    average = WeightAverage({"kernel": variable}, 0.6)
    expected = walk[0].astype(np.float64)

    for step in range(1, 30):
        variable.assign(walk[step])
        average.update(tf.constant(step, tf.int64))
        keep = min(0.6, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * walk[step]

    np.testing.assert_allclose(average.named_variables()["average/kernel"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(variable, walk[-1])


def test_weights_are_back_after_an_error_while_their_average_was_in_place() -> None:
    variable = tf.Variable([1.0, 2.0])
    average = WeightAverage({"kernel": variable}, 0.5)
    variable.assign([3.0, 4.0])

    seen = []

    def fail() -> None:
        with average.in_place():
            seen.append(variable.numpy())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    np.testing.assert_array_equal(seen, [[1.0, 2.0]])
    np.testing.assert_array_equal(variable, [3.0, 4.0])
