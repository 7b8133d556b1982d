import dataclasses

import numpy as np
import pytest

from seqrec.evaluation.rankings import model_ranking
from seqrec.evaluation.rankings.model_ranking import LoadedModel, ModelRanking
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The weights that were read, in order."""
    weights: list[str] = []

    def load(ranking: ModelRanking) -> LoadedModel:
        weights.append(ranking.weights)
        return LoadedModel(None, None, None)

    monkeypatch.setattr(model_ranking, "_LOADED", {})
    monkeypatch.setattr(model_ranking, "_load", load)
    monkeypatch.setattr(model_ranking.gc, "freeze", lambda: None)
    return weights


def rankings(count: int, num_items: int) -> list[ModelRanking]:
    vocabulary = Vocabulary(
        num_trained_items=num_items,
        num_categories=1,
        item_category=np.zeros(num_items + 1, np.int32),
        train_count=np.ones(num_items + 1, np.int64),
    )
    first = ModelRanking("/work", "run0", ModelConfig(), vocabulary, 8, 1)
    return [dataclasses.replace(first, weights=f"run{number}") for number in range(count)]


def test_small_models_are_read_once_however_many_are_compared(read: list[str]) -> None:
    models = rankings(6, num_items=1000)

    for model in models * 3:
        model_ranking._loaded(model)

    assert read == [model.weights for model in models]


def test_of_large_models_two_stay(read: list[str]) -> None:
    models = rankings(3, num_items=2_000_000)

    for model in [*models[:2] * 2, models[2], models[0]]:
        model_ranking._loaded(model)

    assert read == ["run0", "run1", "run2", "run0"]
    assert len(model_ranking._LOADED) == 2
