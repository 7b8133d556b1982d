import sys

import numpy as np
import pytest

from seqrec.core.errors import ConfigError, DataError
from seqrec.reranking.config import RankerConfig
from seqrec.reranking.fit_rows import FitRows
from seqrec.reranking.learner import fit, read_model

NAMES = ("noise", "signal", "more-noise")
CONFIG = dict(num_trees=40, min_leaf_rows=10, learning_rate=0.2)


def planted(seed: int, num_groups: int = 300, size: int = 20, strength: float = 3.0) -> FitRows:
    """The target is drawn by a softmax over one of three features."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(num_groups, size, 3)).astype(np.float32)
    gumbel = random.gumbel(size=(num_groups, size))
    chosen = (strength * values[:, :, 1] + gumbel).argmax(axis=1)
    is_target = np.arange(size) == chosen[:, None]
    return FitRows(values.reshape(-1, 3), is_target.reshape(-1), np.full(num_groups, size))


@pytest.fixture(params=["trees", "linear"])
def config(request) -> RankerConfig:
    if request.param == "trees":
        pytest.importorskip("lightgbm", reason="needs the extra seqrec[ranker]")
    return RankerConfig(learner=request.param, **CONFIG)


def test_a_planted_signal_is_learned(config):
    held_out = planted(2)
    model = fit(NAMES, planted(1), held_out, config, seed=1)

    ranks = held_out.ranks(model.scores(held_out.values))
    best = held_out.ranks(held_out.values[:, 1])

    assert ranks.mean() < best.mean() + 0.5  # The best order there is, and chance is 10.5.
    assert max(model.importances(), key=model.importances().get) == "signal"
    assert sum(model.importances().values()) == pytest.approx(1.0)


def test_of_noise_nothing_is_learned(config):
    unseen = planted(3, strength=0.0)
    model = fit(NAMES, planted(1, strength=0.0), planted(2, strength=0.0), config, seed=1)

    ranks = unseen.ranks(model.scores(unseen.values) + 1e-6 * np.arange(len(unseen.values)) % 1e-5)

    assert ranks.mean() == pytest.approx(10.5, abs=1.2)  # 3.5 standard errors of a uniform rank.


def test_a_model_is_read_from_its_text(config):
    rows = planted(4)
    model = fit(NAMES, planted(1), planted(2), config, seed=1)

    read = read_model(config.learner, NAMES, model.to_text())

    np.testing.assert_array_equal(read.scores(rows.values), model.scores(rows.values))
    assert read.to_text() == model.to_text()


def test_a_fit_is_the_same_again(config):
    fits = [fit(NAMES, planted(1), planted(2), config, seed=7).to_text() for _ in range(2)]

    assert fits[0] == fits[1]


def test_without_targets_there_is_nothing_to_fit(config):
    nothing = planted(1).take(np.zeros(0, np.int64))

    with pytest.raises(DataError, match="0 targets to fit on and 300 held out"):
        fit(NAMES, nothing, planted(2), config, seed=1)


def test_the_linear_blend_has_the_gradient_of_a_softmax():
    """At its optimum the targets' features are as many as expected, less the penalty."""
    rows = planted(1)
    model = fit(NAMES, rows, planted(2), RankerConfig(learner="linear"), seed=1)
    scaled = (np.sign(rows.values) * np.log1p(np.abs(rows.values)) - model.means) / model.scales
    weights = np.exp(scaled @ model.weights).reshape(300, 20)
    share = (weights / weights.sum(axis=1, keepdims=True)).reshape(-1)

    gradient = scaled[rows.is_target].sum(axis=0) - (scaled * share[:, None]).sum(axis=0)

    penalties = gradient / model.weights
    assert np.isclose(penalties, [[1.0], [10.0], [100.0], [1000.0]], rtol=0.05).all(axis=1).any()


def test_trees_without_their_package_are_refused_with_a_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)

    with pytest.raises(ConfigError, match="pip install 'lightgbm>=4.3,<5', or fit a ranker with ranker.learner=linear"):
        fit(NAMES, planted(1), planted(2), RankerConfig(), seed=1)


def test_groups_are_taken_whole_and_ties_count_against_the_target():
    rows = FitRows(np.arange(5, dtype=np.float32)[:, None], np.array([0, 1, 0, 0, 1], np.bool_), np.array([2, 3]))

    assert rows.take(np.array([1, 0])).values[:, 0].tolist() == [2, 3, 4, 0, 1]
    assert rows.ranks(np.array([1.0, 1.0, 3.0, 0.0, 2.0])).tolist() == [2, 2]
