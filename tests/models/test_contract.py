import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.batch import History
from seqrec.models.layers.training_context import TrainingContext
from seqrec.models.registry import RANKING_MODELS
from tests.models.random_batches import as_tensors, random_candidates, random_history, random_model

MODELS = sorted(RANKING_MODELS)


def part_of(history, streams):
    return History(*(part[streams] for part in history))


def train_forward(model, history, candidates, streams, step=4):
    training = TrainingContext(seed=9, step=tf.constant(step), stream_ids=tf.constant(streams))
    logits = model.score(model.encode(as_tensors(history), training), tf.constant(candidates), training)
    return logits.numpy(), training.moments().numpy()


@pytest.mark.parametrize("compatibility", ["corrected", "reference"])
@pytest.mark.parametrize("name", MODELS)
def test_dropout_and_moments_do_not_depend_on_how_streams_are_spread(name, compatibility):
    rng = np.random.default_rng(1)
    history, candidates = random_history(rng, 4, 3, 6), random_candidates(rng, 4, 3, 2)
    model = random_model(name, dropout=(0.4, 0.4), compatibility=compatibility)

    together, moments = train_forward(model, history, candidates, [0, 1, 2, 3])
    apart, own_moments = train_forward(model, part_of(history, [1, 3]), candidates[[1, 3]], [1, 3])

    np.testing.assert_allclose(together[[1, 3]], apart, atol=2e-5)
    np.testing.assert_allclose(moments[[1, 3]], own_moments, atol=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_dropout_changes_with_the_step_and_repeats_with_it(name):
    rng = np.random.default_rng(1)
    history, candidates = random_history(rng, 1, 5, 6), random_candidates(rng, 1, 5, 2)
    model = random_model(name, dropout=(0.4, 0.4))

    first, again, later = (train_forward(model, history, candidates, [0], step)[0] for step in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert np.abs(first - later).max() > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_apply_moments_moves_the_averages(name):
    model = random_model(name, batch_norm_momentum=0.9)
    before = [statistic.numpy() for statistic in model.moving_statistics]
    size = sum(len(value) for value in before)
    moments = np.random.default_rng(5).random(size).astype(np.float32)

    model.apply_moments(tf.constant(moments))

    after = np.concatenate([statistic.numpy() for statistic in model.moving_statistics])
    np.testing.assert_allclose(after, 0.9 * np.concatenate(before) + 0.1 * moments, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_moments_match_the_moving_statistics(name):
    rng = np.random.default_rng(1)
    model = random_model(name)

    _, moments = train_forward(model, random_history(rng, 2, 3, 6), random_candidates(rng, 2, 3, 2), [0, 1])

    assert moments.shape == (2, sum(statistic.shape[0] for statistic in model.moving_statistics))


@pytest.mark.parametrize("name", MODELS)
def test_without_batch_norm_there_are_no_moments(name):
    rng = np.random.default_rng(1)
    model = random_model(name, batch_norm=False)

    logits, moments = train_forward(model, random_history(rng, 1, 3, 6), random_candidates(rng, 1, 3, 2), [0])

    assert moments.shape == (1, 0)
    assert np.isfinite(logits).all()
    model.apply_moments(tf.zeros([0]))


@pytest.mark.parametrize("compatibility", ["corrected", "reference"])
@pytest.mark.parametrize("name", MODELS)
def test_padding_and_other_rows_do_not_change_a_score(name, compatibility):
    rng = np.random.default_rng(2)
    history, candidates = random_history(rng, 1, 4, 5), random_candidates(rng, 1, 4, 3)
    wider = History(*(np.pad(a, [(0, 0), (0, 0), (0, 3)]) if a.ndim == 3 else a for a in history))
    model = random_model(name, compatibility=compatibility, max_history_length=9)

    scores = model.score(model.encode(as_tensors(history)), tf.constant(candidates))
    padded = model.score(model.encode(as_tensors(wider)), tf.constant(candidates))
    alone = model.score(
        model.encode(History(*(tf.constant(part[:, 1:2]) for part in history))), tf.constant(candidates[:, 1:2])
    )

    np.testing.assert_allclose(scores, padded, atol=1e-5)
    np.testing.assert_allclose(scores[:, 1:2], alone, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_shared_candidates_score_like_repeated_ones(name):
    rng = np.random.default_rng(3)
    history = random_history(rng, 2, 3, 5)
    shared = rng.integers(1, 16, 6).astype(np.int32)
    model = random_model(name)
    state = model.encode(as_tensors(history))

    scores = model.score(state, tf.constant(shared))

    np.testing.assert_allclose(scores, model.score(state, tf.tile(shared[None, None], [2, 3, 1])), atol=1e-5)


@pytest.mark.parametrize("compatibility", ["corrected", "reference"])
@pytest.mark.parametrize("name", MODELS)
def test_extreme_histories_have_finite_scores_and_gradients(name, compatibility):
    twenty_years = 20 * 365 * 86_400.0
    history = History(
        items=tf.constant([[[1, 0, 0], [1, 1, 1], [2, 3, 0], [0, 0, 0]]]),
        length=tf.constant([[1, 3, 2, 0]]),
        seconds_to_target=tf.constant([[[0.0, 0, 0], [0, 0, 0], [twenty_years, 0, 0], [0, 0, 0]]]),
        seconds_from_first=tf.constant([[[0.0, 0, 0], [0, 0, 0], [0, twenty_years, 0], [0, 0, 0]]]),
    )
    candidates = tf.ones([1, 4, 3], tf.int32)  # All tied.
    model = random_model(name, compatibility=compatibility)
    training = TrainingContext(seed=9, step=tf.constant(0), stream_ids=tf.constant([0]))

    with tf.GradientTape() as tape:
        logits = model.score(model.encode(history, training), candidates, training)
        loss = -tf.reduce_mean(tf.nn.log_softmax(logits)[..., 0])
    gradients = tape.gradient(loss, model.trainable_variables)

    assert np.isfinite(logits).all()
    assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in gradients if g is not None)


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_of_nothing_but_empty_histories_is_finite(name):
    history = as_tensors(random_history(np.random.default_rng(1), 1, 2, 3, lengths=0))
    model = random_model(name)

    scores = model.score(model.encode(history), tf.constant([1, 2]))

    assert scores.shape == (1, 2, 2)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", MODELS)
def test_training_is_traced_once_for_all_lengths(name):
    rng = np.random.default_rng(4)
    model = random_model(name)
    traces = []

    @tf.function(reduce_retracing=True)
    def forward(history, candidates, step):
        traces.append(step)
        training = TrainingContext(seed=9, step=step, stream_ids=tf.constant([0]))
        return model.score(model.encode(history, training), candidates, training)

    for step in range(4):
        history = random_history(rng, 1, 5, 6, lengths=rng.integers(1, 7, [1, 5]))
        forward(as_tensors(history), tf.constant(random_candidates(rng, 1, 5, 2)), tf.constant(step))

    assert len(traces) == 1


def test_unknown_items_use_their_own_category_and_one_row():
    model = random_model("a2svd", compatibility="corrected")

    rows = model.embedding.item_rows(tf.constant([0, 12, 13, 15]))

    np.testing.assert_array_equal(rows, [0, 12, 13, 13])
    assert model.embedding.items.shape[0] == 14


def test_unknown_items_share_paddings_row_in_the_reference():
    model = random_model("a2svd", compatibility="reference")

    np.testing.assert_array_equal(model.embedding.item_rows(tf.constant([0, 12, 13])), [0, 12, 0])
    assert model.embedding.items.shape[0] == 13


def test_mixed_precision_stays_close():
    rng = np.random.default_rng(3)
    history, candidates = random_history(rng, 1, 3, 5), random_candidates(rng, 1, 3, 4)
    scores = []

    for mixed in (False, True):
        model = random_model("sli_rec", mixed_precision=mixed)
        scores.append(model.score(model.encode(as_tensors(history)), tf.constant(candidates)))

    np.testing.assert_allclose(scores[0], scores[1], atol=0.1)
    assert np.abs(scores[0] - scores[1]).max() > 0.0


def test_tables_declare_whose_rows_they_hold():
    model = random_model("a2svd")

    declared = {(t.name, t.vocabulary, t.index_column, t.name_column, t.num_named_rows_key) for t in model.tables}

    assert declared == {
        ("embedding/items", "vocabulary/items", "item_index", "item_id", "num_trained_items"),
        ("embedding/categories", "vocabulary/categories", "category_index", "category", "num_categories"),
    }


@pytest.mark.parametrize("dense", [False, True])
def test_mask_gradients_leaves_the_row_of_items_not_trained_on_alone(dense):
    model = random_model("a2svd", compatibility="corrected")
    gradients = [tf.ones(variable.shape) for variable in model.trained_variables]
    if not dense:
        gradients[0] = tf.IndexedSlices(tf.ones([3, 5]), tf.constant([13, 2, 13]), tf.constant([14, 5]))
    expected = np.zeros([14, 5])
    expected[: 13 if dense else 0] = 1.0
    expected[2] = 1.0

    masked = model.mask_gradients(gradients)

    np.testing.assert_array_equal(tf.convert_to_tensor(masked[0]), expected)
    assert isinstance(masked[0], tf.IndexedSlices) != dense
    for before, after in zip(gradients[1:], masked[1:], strict=True):
        np.testing.assert_array_equal(before, after)


def test_mask_gradients_trains_paddings_row_in_the_reference():
    model = random_model("a2svd", compatibility="reference")
    gradients = [tf.ones(variable.shape) for variable in model.trained_variables]

    np.testing.assert_array_equal(model.mask_gradients(gradients)[0], gradients[0])
