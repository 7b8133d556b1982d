from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from seqrec.core.errors import ConfigError
from seqrec.models.registry import MODELS
from seqrec.training.objectives.config import LossConfig
from seqrec.training.objectives.objective import Objective
from seqrec.training.objectives.registry import OBJECTIVES, build_objective, check_objective, objective_name
from seqrec.training.objectives.sampled_softmax import SampledSoftmax
from tests.training.objectives.toy_objective import Pull

COUNTS = np.array([0, 5, 3, 1])


@pytest.fixture
def retrieval(monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a model that is not among the ranking models."""
    monkeypatch.setitem(MODELS, "retriever", "not:imported")
    return "retriever"


@pytest.fixture
def pull(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "pull", "tests.training.objectives.toy_objective:Pull")


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_every_objective_is_built_from_its_defaults(name: str, retrieval: str) -> None:
    objective = build_objective(LossConfig(name=name), retrieval, COUNTS)

    assert isinstance(objective, Objective)
    assert objective.reads in get_args(get_args(get_type_hints(Objective)["reads"])[0])
    assert objective.shared_settings <= set(LossConfig.__dataclass_fields__)


def test_without_a_name_the_family_of_the_model_decides(retrieval: str) -> None:
    assert isinstance(build_objective(LossConfig(), "gru", COUNTS), SampledSoftmax)
    assert objective_name(LossConfig(), retrieval) == "full_softmax"
    assert objective_name(LossConfig(name="sampled_softmax"), retrieval) == "sampled_softmax"


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        pytest.param(
            {"name": "sampled_softmx"},
            "training.loss.name: there is no objective 'sampled_softmx'. Did you mean 'sampled_softmax'?",
            id="unknown name",
        ),
        pytest.param(
            {"options": {"pul": {}}},
            "training.loss.options: there is no objective 'pul'. Did you mean 'pull'?",
            id="options of an unknown name",
        ),
        pytest.param(
            {"name": "pull"},
            "training.loss.name=pull is for retrieval models, but 'gru' is a ranking model: use ",
            id="a model that it does not take",
        ),
    ],
)
def test_check_objective_refuses_for_a_ranking_model(pull: None, loss: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check_objective(LossConfig(**loss), "gru")

    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        pytest.param(
            {"options": {"pull": {"strenth": 2.0}}},
            "training.loss.options.pull: unknown key 'strenth'. Did you mean 'strength'?",
            id="unknown option",
        ),
        pytest.param(
            {"negatives": "uniform"},
            "training.loss.negatives has no effect on the objective 'pull': leave it out.",
            id="shared setting without effect",
        ),
    ],
)
def test_check_objective_refuses_settings(pull: None, retrieval: str, loss: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check_objective(LossConfig(name="pull", **loss), retrieval)

    assert str(raised.value).startswith(message)


def test_an_objective_gets_its_own_options_beside_the_shared_settings(pull: None, retrieval: str) -> None:
    options = {"pull": {"strength": 2}, "sampled_softmax": {}}

    objective = build_objective(LossConfig(name="pull", num_negatives=9, options=options), retrieval, COUNTS)

    assert isinstance(objective, Pull)
    assert objective.strength == 2.0
