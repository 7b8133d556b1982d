import numpy as np
import pytest
import tensorflow as tf

from seqrec.models.layers.batch_norm import BatchNorm
from seqrec.models.layers.initializers import Initializer
from seqrec.models.layers.stream_rows import EvenRows, PackedRows

EPSILON = 1e-2
WIDTH = 3


def batch_norm(rng):
    norm = BatchNorm("norm", WIDTH, EPSILON, Initializer(1, 0.01))
    norm.scale.assign(rng.uniform(0.5, 2.0, WIDTH))
    norm.offset.assign(rng.normal(0.0, 0.5, WIDTH))
    return norm


def plain_layer(x, scale, offset, stream, weight, keep, keep_share):
    """float64, stream by stream; x [rows, C], weight [rows]."""
    outputs, moments = [], []
    for s in np.unique(stream):
        own = np.flatnonzero(stream == s)
        part = tf.gather(x, own)
        share = (weight[own] / weight[own].sum())[:, None]
        mean = tf.reduce_sum(share * part, axis=0)
        variance = tf.reduce_sum(share * (part - mean) ** 2, axis=0)
        normalised = (part - mean) / tf.sqrt(variance + EPSILON) * scale + offset
        outputs.append(tf.nn.relu(tf.where(keep[own], normalised / keep_share, 0.0)))
        moments.append((mean, variance))
    return tf.concat(outputs, axis=0), moments


@pytest.mark.parametrize("layout", ["even", "packed", "weighted"])
@pytest.mark.parametrize("num_streams", [1, 3])
def test_train_equals_plain_in_value_and_gradient(layout, num_streams):
    rng = np.random.default_rng(num_streams)
    num_candidates = 2
    counts = np.full(num_streams, 4) if layout == "even" else rng.integers(2, 6, num_streams)
    event_stream = np.repeat(np.arange(num_streams), counts)
    event_weight = rng.uniform(0.0, 3.0, len(event_stream)) if layout == "weighted" else np.ones(len(event_stream))
    stream, weight = np.repeat(event_stream, num_candidates), np.repeat(event_weight, num_candidates)
    x = rng.normal(1.0, 2.0, [len(stream), WIDTH])
    keep = rng.random(x.shape) < 0.7
    upstream = rng.normal(size=x.shape)
    norm = batch_norm(rng)
    if layout == "even":
        shape, rows = [num_streams, 4, num_candidates, WIDTH], EvenRows()
    else:
        weights = tf.constant(event_weight, tf.float32) if layout == "weighted" else None
        rows = PackedRows(tf.constant(event_stream, tf.int32), weights, tf.constant(counts, tf.int32))
        shape = [len(event_stream), num_candidates, WIDTH]

    laid_out = tf.constant(x.reshape(shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(laid_out)
        output, mean, variance = norm.train(laid_out, rows, tf.constant(keep.reshape(shape)), 0.7)
        total = tf.reduce_sum(output * tf.constant(upstream.reshape(shape), tf.float32))
    gradients = tape.gradient(total, [laid_out, norm.scale, norm.offset])

    plain = [tf.constant(value, tf.float64) for value in (x, norm.scale.numpy(), norm.offset.numpy())]
    with tf.GradientTape() as tape:
        tape.watch(plain)
        expected, moments = plain_layer(*plain, stream, weight, keep, 0.7)
        total = tf.reduce_sum(expected * upstream)
    wanted = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(total, plain)]
    np.testing.assert_allclose(tf.reshape(output, x.shape), expected, atol=1e-5)
    np.testing.assert_allclose(mean, tf.stack([m for m, _ in moments]), atol=1e-5)
    np.testing.assert_allclose(variance, tf.stack([v for _, v in moments]), rtol=1e-5)
    np.testing.assert_allclose(tf.reshape(gradients[0], x.shape), wanted[0], atol=1e-5)
    np.testing.assert_allclose(gradients[1], wanted[1], atol=2e-5)
    np.testing.assert_allclose(gradients[2], wanted[2], atol=2e-5)
