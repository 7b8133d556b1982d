"""SASRec against the same model written plainly: one run at a time, padded as the published code pads, in float64."""

import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.batch import EventRuns
from seqrec.core.errors import ConfigError
from seqrec.models.config import ModelConfig
from seqrec.models.layers.attention import causal_attention
from seqrec.models.registry import build_model
from seqrec.models.sasrec import SasrecOptions
from tests.models.random_batches import NUM_TRAINED, random_model, random_vocabulary
from tests.models.retrieval_batches import assert_sees_no_future, context, random_runs, states_of

MAX_LENGTH = 7
KINDS = ("sasrec", "pre_norm", "post_norm")


def sasrec(seed=0, **options):
    settings = {} if "category_dim" not in options else {"category_dim": options.pop("category_dim")}
    return random_model("sasrec", seed, options={"sasrec": options}, max_history_length=MAX_LENGTH, **settings)


class PlainSasrec:
    """The equations, with weights by name."""

    def __init__(self, model, options):
        self.options, self.config = options, model.config
        self.weights = {name: tf.Variable(tf.cast(v, tf.float64)) for name, v in model.named_variables().items()}

    def embed(self, items, name="embedding"):
        rows = np.minimum(items, NUM_TRAINED + 1)
        parts = [tf.gather(self.weights[f"{name}/items"], rows)]
        if self.config.category_dim:
            category = random_vocabulary().item_category[items]
            parts.append(tf.gather(self.weights[f"{name}/categories"], category))
        return tf.concat(parts, axis=-1)

    def states(self, items, gaps):
        """States [n, V] of one run of n items [n]."""
        length, width, o = len(items), self.config.event_dim, self.options
        x = self.embed(items) * (np.sqrt(width) if o.scale_input else 1.0)
        x = tf.concat([tf.zeros([MAX_LENGTH - length, width], tf.float64), x], 0)
        real = np.arange(MAX_LENGTH) >= MAX_LENGTH - length
        x = (x + self.weights.get("positions", 0.0)) * real[:, None]
        times = np.concatenate([np.zeros(MAX_LENGTH - length), np.cumsum(gaps.astype(np.float64))])
        if o.block == "post_norm":
            x = self.norm("input_norm", x) * real[:, None]
        if o.num_earlier_events:
            factors = self.weights["earlier_events/factors"]
            x = sum(
                [tf.pad(x, [[k, 0], [0, 0]])[:MAX_LENGTH] * factors[k - 1] for k in range(1, o.num_earlier_events + 1)],
                x,
            )
        for block in range(o.num_blocks):
            x = self.block(f"block_{block}", x, times, real) * real[:, None]
        x = x if o.block == "post_norm" else self.norm("last_norm", x)
        x = x[MAX_LENGTH - length :]
        if o.similarity == "cosine":
            x = x / tf.norm(x, axis=1, keepdims=True) / o.temperature
        return tf.concat([x, tf.ones([length, 1], tf.float64)], 1) if o.output_bias else x

    def block(self, name, x, times, real):
        def mix(queries, x):
            attended = self.attention(f"{name}/attention", queries, x * real[:, None], times, real)
            share = self.options.frequency_share
            return share * self.slow(f"{name}/filter", x * real[:, None]) + (1 - share) * attended

        def feed_forward(x):
            hidden = self.dense(f"{name}/hidden", x)
            hidden = tf.nn.relu(hidden) if self.options.activation == "relu" else tf.nn.gelu(hidden)
            return self.dense(f"{name}/output", hidden)

        first, second = (lambda x, n=n: self.norm(f"{name}/{n}_norm", x) for n in ("attention", "feed_forward"))
        if self.options.block == "sasrec":
            x = second(x + mix(first(x), x))
            return x + feed_forward(x)
        if self.options.block == "pre_norm":
            x = x + mix(first(x), first(x))
            return x + feed_forward(second(x))
        x = first(x + mix(x, x))
        return second(x + feed_forward(x))

    def attention(self, name, queries, x, times, real):
        heads, w = self.options.num_heads, self.weights
        size = x.shape[1] // heads
        q, k, v = self.dense(f"{name}/query", queries), x @ w[f"{name}/key/kernel"], x @ w[f"{name}/value/kernel"]
        outputs = []
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            logits = q[:, own] @ tf.transpose(k[:, own]) / np.sqrt(size)
            distance = np.arange(MAX_LENGTH)[:, None] - np.arange(MAX_LENGTH)
            bias = tf.zeros_like(logits)
            if self.options.distance_bias:
                bias += tf.gather(w[f"{name}/distance_bias"][head], np.maximum(distance, 0))
            if self.options.time_bias:
                between = np.maximum(times[:, None] - times, 0.0)
                bias += tf.gather(w[f"{name}/time_bias"][head], np.floor(2 * np.log2(1 + between)).astype(int))
            logits += bias * (real[:, None] & real)  # An absent event keeps its logit of 0.
            seen = (distance >= 0) & (real | self.options.absent_events)
            seen |= ~real[:, None]  # The rows of absent events mean nothing, but must be numbers.
            if self.options.positions == "none":  # As many absent events as if the run ended with the event.
                num_seen = (seen & real).sum(axis=1, keepdims=True)
                absent = np.arange(MAX_LENGTH) < (MAX_LENGTH - num_seen) * self.options.absent_events
                seen = np.concatenate([seen & (real | ~real[:, None]), absent], axis=1)
                logits = tf.concat([logits, tf.zeros_like(logits)], axis=1)
            logits = tf.where(seen, logits, tf.constant(-1e30, tf.float64))
            outputs.append(tf.nn.softmax(logits)[:, :MAX_LENGTH] @ v[:, own])
        return self.dense(f"{name}/output", tf.concat(outputs, axis=1))

    def slow(self, name, x):
        if f"{name}/fast" not in self.weights:
            return tf.zeros_like(x)
        rows = []
        for place in range(MAX_LENGTH):
            window = tf.concat([tf.zeros([MAX_LENGTH - 1 - place, x.shape[1]], tf.float64), x[: place + 1]], 0)
            keep = (np.arange(MAX_LENGTH) < self.options.num_frequencies) | (
                np.arange(MAX_LENGTH) > MAX_LENGTH - self.options.num_frequencies
            )
            spectrum = tf.signal.fft(tf.cast(tf.transpose(window), tf.complex128)) * keep
            rows.append(tf.cast(tf.math.real(tf.signal.ifft(spectrum)), tf.float64)[:, -1])
        slow = tf.stack(rows)
        return slow + self.weights[f"{name}/fast"] ** 2 * (x - slow)

    def dense(self, name, x):
        return x @ self.weights[f"{name}/kernel"] + self.weights[f"{name}/bias"]

    def norm(self, name, x):
        mean = tf.reduce_mean(x, axis=1, keepdims=True)
        variance = tf.reduce_mean((x - mean) ** 2, axis=1, keepdims=True)
        normed = (x - mean) / tf.sqrt(variance + self.options.norm_epsilon)
        return normed * self.weights[f"{name}/scale"] + self.weights[f"{name}/offset"]


OPTIONS = [
    pytest.param({}, id="default"),
    pytest.param({"distance_bias": False, "num_earlier_events": 0}, id="as published"),
    pytest.param({"block": "pre_norm", "num_heads": 2, "absent_events": False}, id="pre-norm, two heads"),
    pytest.param({"block": "post_norm", "activation": "gelu", "feed_forward_size": 12}, id="post-norm, gelu"),
    pytest.param({"positions": "none"}, id="no positions"),
    pytest.param({"positions": "none", "absent_events": False, "time_bias": True}, id="no positions, nothing absent"),
    pytest.param({"distance_bias": True, "num_heads": 4}, id="bias by distance"),
    pytest.param({"time_bias": True, "num_heads": 2, "absent_events": False}, id="bias by time"),
    pytest.param({"distance_bias": True, "time_bias": True}, id="both biases beside absent events"),
    pytest.param({"frequency_share": 0.7, "block": "post_norm"}, id="frequency filter"),
    pytest.param({"frequency_share": 1.0, "num_frequencies": 2}, id="frequency filter alone"),
    pytest.param({"num_earlier_events": 9, "scale_input": False}, id="more earlier events added than there are"),
    pytest.param({"num_blocks": 3, "similarity": "cosine", "output_bias": True}, id="cosine and a bias"),
    pytest.param({"tied_output": False, "output_bias": True}, id="output vectors apart"),
    pytest.param({"category_dim": 0}, id="items alone"),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_states_and_gradients_equal_plain(options):
    options = {"norm_epsilon": 1e-3, **options}  # With 1e-8 the plain model's rows of absent events would explode.
    rng = np.random.default_rng(1)
    runs = random_runs(rng, 2, 4, MAX_LENGTH, lengths=[[1, 7, 0, 3], [4, 2, 5, 6]])
    model = sasrec(**options)
    plain = PlainSasrec(
        model, SasrecOptions(**{name: value for name, value in options.items() if name != "category_dim"})
    )
    names = [variable.name.removesuffix(":0") for variable in model.trained_variables]

    with tf.GradientTape() as tape:
        states = model.encode_positions(EventRuns(*(tf.constant(part) for part in runs)))
        upstream = rng.normal(size=states.shape)
        total = tf.reduce_sum(states * tf.constant(upstream, tf.float32))
    gradients = tape.gradient(total, model.trained_variables, unconnected_gradients="zero")
    with tf.GradientTape() as tape:
        real = [(runs.items[s, b, :n], runs[2][s, b, :n]) for (s, b), n in np.ndenumerate(runs.length) if n]
        expected = tf.concat([plain.states(items, gaps) for items, gaps in real], axis=0)
        total = tf.reduce_sum(expected * upstream)
    wanted = tape.gradient(total, [plain.weights[name] for name in names], unconnected_gradients="zero")

    np.testing.assert_allclose(states, expected, atol=2e-4 * (1 + np.abs(expected).max()))
    for name, gradient, value in zip(names, gradients, wanted, strict=True):
        value = tf.convert_to_tensor(value).numpy()
        scale = 1.0 + np.abs(value).max()
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), value, atol=2e-3 * scale, err_msg=name)


@pytest.mark.parametrize("options", OPTIONS)
def test_item_vectors_equal_plain(options):
    items = np.arange(1, NUM_TRAINED + 1)
    model = sasrec(**options)
    plain = PlainSasrec(model, None)

    vectors = model.item_vectors(tf.constant(items, tf.int32))

    expected = plain.embed(items, "embedding" if options.get("tied_output", True) else "output").numpy()
    if options.get("similarity") == "cosine":
        expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    if options.get("output_bias"):
        expected = np.concatenate([expected, plain.weights["output/bias"][1 : NUM_TRAINED + 1]], axis=1)
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", OPTIONS)
def test_no_option_sees_the_future(options):
    assert_sees_no_future(sasrec(**options), MAX_LENGTH)


def test_a_broken_causal_mask_is_found(monkeypatch):
    monkeypatch.setattr(causal_attention, "_FUTURE", 0.0)

    with pytest.raises(AssertionError, match="not equal"):
        assert_sees_no_future(sasrec(), MAX_LENGTH)


def test_the_last_event_always_has_the_last_position():
    rng = np.random.default_rng(2)
    model = sasrec()
    runs = random_runs(rng, 1, 4, MAX_LENGTH, lengths=[[1, 3, 5, 7]])
    before = states_of(model, runs)

    model.positions.scatter_add(tf.IndexedSlices(tf.ones([1, 8]), [MAX_LENGTH - 1]))

    after = states_of(model, runs)
    for row, length in enumerate(runs.length[0]):
        assert (after[0, row, length - 1] != before[0, row, length - 1]).any()
        np.testing.assert_array_equal(after[0, row, : length - 1], before[0, row, : length - 1])


def test_without_positions_an_event_has_the_state_of_a_run_that_ends_with_it():
    model = sasrec(positions="none")
    runs = random_runs(np.random.default_rng(2), 1, 1, MAX_LENGTH, lengths=[[MAX_LENGTH]])
    whole = states_of(model, runs)

    for length in range(1, MAX_LENGTH):
        part = states_of(model, runs._replace(length=np.full([1, 1], length, np.int32)))
        np.testing.assert_allclose(part[0, 0, length - 1], whole[0, 0, length - 1], rtol=1e-4, atol=1e-6)


def test_dropped_events_are_dropped_whole():
    model = sasrec(event_dropout=0.5, embedding_dropout=0.0)
    x = tf.random.stateless_uniform([200, 8], [1, 2], 1.0, 2.0)

    dropped = model._drop(x, tf.constant([200]), context([0])).numpy()

    is_kept = (dropped != 0.0).all(axis=1)
    assert (dropped[~is_kept] == 0.0).all()
    assert 60 < is_kept.sum() < 140
    np.testing.assert_allclose(dropped[is_kept], 2.0 * x.numpy()[is_kept], rtol=1e-6)


def test_weights_start_as_wide_as_published():
    # CE-SCE's SASRec on Beauty: items .0128, positions .132 (see docs/decisions.md).
    config = ModelConfig(name="sasrec", item_dim=64, category_dim=0, max_history_length=50)

    model = build_model(config, random_vocabulary(), seed=1)

    assert model.named_variables()["positions"].numpy().std() == pytest.approx(0.132, rel=0.05)
    kernel = model.named_variables()["block_0/attention/query/kernel"].numpy()
    assert np.abs(kernel).max() <= np.sqrt(6 / 256)
    assert kernel.std() == pytest.approx(np.sqrt(6 / 256 / 3), rel=0.05)
    normal = build_model(
        ModelConfig(name="sasrec", initial_std=0.02, options={"sasrec": {"initialization": "normal"}}),
        random_vocabulary(),
        seed=1,
    )
    for name, variable in normal.named_variables().items():
        if "kernel" in name or name in ("positions", "embedding/items"):
            assert variable.numpy().std() == pytest.approx(0.0176, rel=0.15), name


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_stays_close(kind):
    runs = random_runs(np.random.default_rng(3), 1, 3, MAX_LENGTH)
    states = []
    for mixed in (False, True):
        model = random_model(
            "sasrec", options={"sasrec": {"block": kind}}, max_history_length=MAX_LENGTH, mixed_precision=mixed
        )
        states.append(states_of(model, runs))

    np.testing.assert_allclose(states[0], states[1], atol=0.2)
    assert np.abs(states[0] - states[1]).max() > 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 3}, "num_heads is 3, but item_dim \\+ category_dim is 40"),
        ({"num_blocks": 0}, "num_blocks is 0: give at least 1"),
        ({"hidden_dropout": 1.0}, "hidden_dropout is 1.0: give a rate from 0"),
        ({"temperature": 0.0}, "temperature is 0.0: give more than 0"),
        ({"frequency_share": 1.5}, "frequency_share is 1.5: give a share from 0 to 1"),
        ({"block": "other"}, "block: .*'sasrec'"),
    ],
)
def test_options_refuse_impossible_values(options, message):
    with pytest.raises(ConfigError, match=message):
        build_model(ModelConfig(name="sasrec", options={"sasrec": options}), random_vocabulary(), seed=1)
