import dataclasses

import numpy as np
import pytest

from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig
from seqrec.scoring import loaded_model
from seqrec.scoring.loaded_model import LoadedModel, StoredModel


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The weights that were read, in order."""
    weights: list[str] = []

    def load(stored: StoredModel) -> LoadedModel:
        weights.append(stored.weights)
        return LoadedModel(None, None, None, None)

    monkeypatch.setattr(loaded_model, "_LOADED", {})
    monkeypatch.setattr(loaded_model, "_load", load)
    monkeypatch.setattr(loaded_model.gc, "freeze", lambda: None)
    return weights


def models_of(count: int, num_items: int) -> list[StoredModel]:
    vocabulary = Vocabulary(
        num_trained_items=num_items,
        num_categories=1,
        item_category=np.zeros(num_items + 1, np.int32),
        train_count=np.ones(num_items + 1, np.int64),
    )
    first = StoredModel("/work", "run0", ModelConfig(), vocabulary, 1)
    return [dataclasses.replace(first, weights=f"run{number}") for number in range(count)]


def test_small_models_are_read_once_however_many_are_compared(read: list[str]) -> None:
    models = models_of(6, num_items=1000)

    for model in models * 3:
        model.load()

    assert read == [model.weights for model in models]


def test_where_one_large_model_is_kept_the_next_takes_its_place(read: list[str]) -> None:
    first, second = models_of(2, num_items=2_000_000)

    for model in (first, second, first):
        model.load(num_kept=1)

    assert read == ["run0", "run1", "run0"]
    assert len(loaded_model._LOADED) == 1


def test_of_large_models_two_stay(read: list[str]) -> None:
    models = models_of(3, num_items=2_000_000)

    for model in [*models[:2] * 2, models[2], models[0]]:
        model.load()

    assert read == ["run0", "run1", "run2", "run0"]
    assert len(loaded_model._LOADED) == 2
