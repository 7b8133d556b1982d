import pytest

from seqrec.core.config import load_section
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig
from seqrec.tuning.config import TuningConfig
from seqrec.tuning.space_checks import build_space
from seqrec.tuning.study import Study, default_draws

RATE = "training.optimizer.learning_rate"
CONDITIONAL = {
    "model.name": {"choices": ["a2svd", "sli_rec"]},
    "model.options.sli_rec.attention_size": {"low": 10, "high": 40, "when": {"model.name": "sli_rec"}},
    "model.embed_l2": {"low": 1.0e-6, "high": 1.0e-2, "log": True, "when": {"model.name": ["a2svd", "gru"]}},
}


def space_of(entries, **tuning):
    config = load_section(TuningConfig, {"space": entries, **tuning}, "tuning")
    return build_space(config.parameters(), ModelConfig(), TrainingConfig()), config


def drawn_study(entries, num_trials, **tuning):
    study = Study(*space_of(entries, include_default=False, **tuning), [])
    for number in range(num_trials):
        record = study.draw()
        record.judge({"epoch": 1, "group_auc": 0.5 + number % 7 / 100}, "group_auc")
        record.state = "done"
        study.end(record)
    return study


def test_draw_leaves_out_what_its_condition_excludes():
    study = drawn_study(CONDITIONAL, 12)

    names = {record.drawn["model.name"]: set(record.drawn) for record in study.records}
    assert names == {
        "a2svd": {"model.name", "model.embed_l2"},
        "sli_rec": {"model.name", "model.options.sli_rec.attention_size"},
    }


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_draw_is_a_function_of_seed_number_and_earlier_trials(sampler):
    settings = {"name": sampler, "num_startup_trials": 2}
    study = drawn_study(CONDITIONAL, 8, sampler=settings)

    rebuilt = Study(*space_of(CONDITIONAL, include_default=False, sampler=settings), study.records[:7])

    assert rebuilt.draw().drawn == study.records[7].drawn
    assert drawn_study(CONDITIONAL, 1, sampler={**settings, "seed": 5}).records[0].drawn != study.records[0].drawn


def test_draw_repeats_a_number_and_sets_keys_together():
    entries = {
        "model.dropout": {"low": 0.1, "high": 0.4, "repeat": 2},
        "size": {"choices": [{"model.item_dim": 8, "model.category_dim": 4}, {"model.item_dim": 16}]},
    }
    study = drawn_study(entries, 6)

    for record in study.records:
        assert record.settings["model.dropout"] == [record.drawn["model.dropout"]] * 2
        assert record.settings["model.item_dim"] in (8, 16)
        assert ("model.category_dim" in record.settings) == (record.settings["model.item_dim"] == 8)


def test_default_draws_are_those_of_the_base_that_the_space_has():
    entries = {
        RATE: {"low": 1.0e-4, "high": 1.0e-2},
        "model.dropout": {"low": 0.0, "high": 0.5, "repeat": 2},
        "model.item_dim": {"low": 64, "high": 128},
        "model.layer_sizes": {"choices": [[64, 32], [100, 64]]},
    }

    draws = default_draws(space_of(entries)[0])

    assert draws == {RATE: 1.0e-3, "model.dropout": 0.3, "model.layer_sizes": "[100, 64]"}


def test_default_draws_are_a_models_own_defaults_where_the_config_names_none():
    space, _ = space_of({"model.options.a2svd.attention_size": {"low": 20, "high": 80, "step": 20}})

    assert default_draws(space) == {"model.options.a2svd.attention_size": 40}


def test_default_draws_leave_out_what_lies_beside_the_steps():
    entries = {
        "training.global_batch_size": {"low": 100, "high": 1000, "step": 200},
        "model.embed_l2": {"low": 0.0, "high": 1.0, "step": 0.25},
        "model.item_dim": {"low": 8, "high": 40, "step": 8},
    }
    space, config = space_of(entries)

    assert default_draws(space) == {"model.embed_l2": 0.0, "model.item_dim": 32}
    study = Study(space, config, [])
    study.draw()
    assert study.records[0].drawn["training.global_batch_size"] in (100, 300, 500, 700, 900)
    Study(space, config, study.records)  # Takes up its own trials.


def test_importances_put_what_decides_first():
    entries = {"model.embed_l2": {"low": 0.0, "high": 1.0}, "model.layer_l2": {"low": 0.0, "high": 1.0}}
    study = Study(*space_of(entries, include_default=False, sampler={"name": "random"}), [])
    for _ in range(40):
        record = study.draw()
        record.judge({"epoch": 1, "group_auc": 1.0 - abs(record.drawn["model.layer_l2"] - 0.3)}, "group_auc")
        record.state = "done"
        study.end(record)

    shares = study.importances()

    assert list(shares) == ["model.layer_l2", "model.embed_l2"]
    assert shares["model.layer_l2"] > 0.7
    assert sum(shares.values()) == pytest.approx(1.0)


def test_importances_are_not_told_from_a_few_trials():
    assert drawn_study({RATE: {"low": 1.0e-4, "high": 1.0e-2}}, 3).importances() == {}
