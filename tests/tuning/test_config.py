import pytest

from seqrec.core.config import load_section
from seqrec.core.errors import ConfigError
from seqrec.models.config import ModelConfig
from seqrec.models.registry import MODELS, build_model
from seqrec.training.config import TrainingConfig
from seqrec.tuning.config import SamplerConfig, TuningConfig
from seqrec.tuning.space_checks import build_space
from seqrec.tuning.study import Study
from tests.models.random_batches import random_vocabulary

RATE = "training.optimizer.learning_rate"
A_RANGE = {"low": 1.0e-4, "high": 1.0e-2}
SLI_REC = {"model.name": "sli_rec"}

IMPOSSIBLE = {
    "misspelt key": ({"training.optimizer.learning_rat": A_RANGE}, "Did you mean 'training.optimizer.learning_rate'"),
    "misspelt setting": ({RATE: {"low": 1.0, "hgih": 2.0}}, "Did you mean 'high'"),
    "no range": ({RATE: {"low": 1.0}}, "give low and high, or choices"),
    "not a mapping": ({RATE: 0.1}, "expected low and high, or choices"),
    "upside down": ({RATE: {"low": 2.0, "high": 1.0}}, "above high"),
    "log of nothing": ({"model.embed_l2": {"low": 0.0, "high": 1.0, "log": True}}, "begins above 0"),
    "range and choices": ({RATE: {"low": 1.0, "choices": [1.0]}}, "exclude each other"),
    "equal choices": ({RATE: {"choices": [0.1, 0.1]}}, "different values"),
    "value out of bounds": ({RATE: {"low": -1.0, "high": 1.0}}, "learning_rate is -1.0: give more than 0"),
    "fraction of a whole number": ({"model.item_dim": {"low": 8.5, "high": 16}}, "takes whole numbers"),
    "numbers for a name": ({"model.name": {"low": 1, "high": 2}}, "give choices"),
    "unknown model": ({"model.name": {"choices": ["a2svd", "sli_rek"]}}, "no model 'sli_rek'"),
    "unknown option": ({"model.options.a2svd.attention_sise": {"low": 1, "high": 2}}, "attention_sise"),
    "a whole section": ({"training.optimizer": {"choices": [1, 2]}}, "is a section"),
    "another section": ({"preparation.min_interactions": {"low": 1, "high": 2}}, "name a key of model or training"),
    "no effect on the result": ({"training.num_workers": {"low": 1, "high": 2}}, "cannot be tuned"),
    "another measure": ({"training.metric": {"choices": ["auc", "mrr"]}}, "cannot be tuned"),
    "unknown condition": ({RATE: {**A_RANGE, "when": {"model.nam": "a2svd"}}}, "Did you mean 'model.name'"),
    "impossible condition": ({RATE: {**A_RANGE, "when": {"model.name": "sli"}}}, "no model 'sli'"),
    "condition drawn later": (
        {"model.item_dim": {"low": 8, "high": 9, "when": {RATE: 0.1}}, RATE: A_RANGE},
        "put the entry 'training.optimizer.learning_rate' before",
    ),
    "key drawn twice": (
        {"model.item_dim": {"low": 8, "high": 9}, "size": {"choices": [{"model.item_dim": 8}]}},
        "drawn by the entry 'model.item_dim' already",
    ),
    "conditions that never hold": ({RATE: {**A_RANGE, "when": SLI_REC}}, "none of its entries would ever be drawn"),
    "condition without values": ({RATE: {**A_RANGE, "when": {"model.name": []}}}, "give one or more values"),
    "empty": ({}, "space is empty"),
}


def build(space, **model):
    config = load_section(TuningConfig, {"space": space}, "tuning")
    return build_space(config.parameters(), ModelConfig(**model), TrainingConfig())


@pytest.mark.parametrize(("space", "told"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_build_space_refuses_before_the_first_trial(space, told):
    with pytest.raises(ConfigError, match=told) as refusal:
        build(space)

    assert "\n" not in str(refusal.value)


def test_build_space_takes_keys_nested_as_overrides_nest_them():
    space = build({"model.dropout": {"low": 0.0, "high": 0.2, "repeat": 2}, "model": {"dropout": {"high": 0.4}}})

    (parameter,) = space.parameters
    assert parameter.ends() == [[0.0, 0.0], [0.4, 0.4]]


def test_build_space_takes_one_key_twice_under_conditions_that_exclude_each_other():
    choices = [{"model.item_dim": d, "model.options.sli_rec.hidden_size": d + 8} for d in (16, 32)]
    space = build(
        {
            "model.name": {"choices": ["a2svd", "sli_rec"]},
            "size": {"choices": choices, "when": SLI_REC},
            "model.item_dim": {"low": 8, "high": 64, "when": {"model.name": "a2svd"}},
        }
    )

    model, _ = space.configs({"model.name": "sli_rec", **choices[0]})

    assert (model.name, model.item_dim, model.options["sli_rec"]) == ("sli_rec", 16, {"hidden_size": 24})


def test_build_space_takes_values_that_are_possible_only_with_another_draw():
    space = build({"model.layer_sizes": {"choices": [[9], [9, 9]]}, "model.dropout": {"choices": [[0.1], [0.1, 0.1]]}})

    model, _ = space.configs({"model.layer_sizes": [9], "model.dropout": [0.1]})

    assert (model.layer_sizes, model.dropout) == ((9,), (0.1,))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_draw_of_the_default_space_builds(name):
    config = TuningConfig(sampler=SamplerConfig(name="random"))
    space = build_space(config.parameters(), ModelConfig(name=name), TrainingConfig())
    study = Study(space, config, [])

    settings = [study.draw().settings for _ in range(20)]

    for each in settings:
        build_model(space.configs(each)[0], random_vocabulary(), seed=None)
    has_free_width = name in config.space["model.item_dim"]["when"]["model.name"]
    assert {each.get("model.item_dim") for each in settings} == ({16, 32, 64} if has_free_width else {None})


def test_build_space_refuses_a_width_that_the_model_cannot_have():
    with pytest.raises(ConfigError, match=r"item_dim: 16 is not possible: .*hidden_size is 40, but .* is 24"):
        build({"model.item_dim": {"choices": [32, 16]}}, name="sli_rec")


@pytest.mark.parametrize("name", ["a2svd", "sli_rec"])
def test_build_space_holds_a_value_only_against_what_is_drawn_with_it(name):
    sizes = [{"model.item_dim": d, "model.options.sli_rec.hidden_size": d + 8} for d in (16, 64)]
    entries = {
        "size": {"choices": sizes, "when": SLI_REC},
        "model.item_dim": {"choices": [16, 64], "when": {"model.name": "a2svd"}},
        "model.options.sli_rec.attention_size": {"low": 20, "high": 40, "when": SLI_REC},
    }

    for drawn in ({}, {"model.name": {"choices": ["a2svd", "sli_rec"]}}):
        assert len(build({**drawn, **entries}, name=name, item_dim=64).parameters) == 3 + len(drawn)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_trials", 0),
        ("num_parallel", 0),
        ("confidence", 1.0),
        ("num_replicates", 10),
        ("max_trial_seconds", 0),
        ("metric", "accuracy"),
    ],
)
def test_tuning_config_refuses_what_makes_no_sense(key, value):
    with pytest.raises(ConfigError, match=f"{key} is {value!r}"):
        load_section(TuningConfig, {key: value}, "tuning")
