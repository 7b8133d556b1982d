import subprocess
import sys

import numpy as np
import pytest

from seqrec.core.errors import ConfigError, DataError
from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig, read_model_config
from seqrec.models.registry import MODELS, RANKING_MODELS, RETRIEVAL_MODELS, build_model, family_of, load_options
from tests.models.random_batches import random_vocabulary


def test_build_model_lists_the_known_models():
    with pytest.raises(ConfigError, match="no model 'slirec'. Did you mean 'sli_rec'. Known models: a2svd, .*sli_rec"):
        build_model(ModelConfig(name="slirec"), random_vocabulary(), seed=1)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_build_model_builds_every_registered_model(name):
    model = build_model(ModelConfig(name=name), random_vocabulary(), seed=1)

    assert model.name == name
    assert model.config.name == name


def test_every_model_is_of_one_family():
    from seqrec.models.contract import RankingModel, RetrievalModel

    assert not set(RANKING_MODELS) & set(RETRIEVAL_MODELS)
    for name in MODELS:
        model = build_model(ModelConfig(name=name), random_vocabulary(), seed=1)
        assert isinstance(model, {"ranking": RankingModel, "retrieval": RetrievalModel}[family_of(name)])


def test_family_of_refuses_an_unknown_model():
    with pytest.raises(ConfigError, match="no model 'slirec'"):
        family_of("slirec")


def test_load_options_refuses_an_unknown_key():
    config = ModelConfig(name="sli_rec", options={"sli_rec": {"hiden_size": 40}})

    with pytest.raises(
        ConfigError, match="model.options.sli_rec: unknown key 'hiden_size'. Did you mean 'hidden_size'"
    ):
        load_options(config)


def test_load_options_refuses_a_wrong_type():
    config = ModelConfig(name="a2svd", options={"a2svd": {"attention_size": "wide"}})

    with pytest.raises(ConfigError, match="attention_size: expected .*integer, got 'wide'"):
        load_options(config)


def test_load_options_refuses_settings_of_an_unknown_model():
    with pytest.raises(ConfigError, match="model.options: there is no model 'bert4rec'"):
        load_options(ModelConfig(options={"bert4rec": {}}))


def test_sli_rec_needs_a_hidden_size_that_fits():
    config = ModelConfig(name="sli_rec", options={"sli_rec": {"hidden_size": 64}})

    with pytest.raises(ConfigError, match="hidden_size is 64, but item_dim \\+ category_dim is 40"):
        build_model(config, random_vocabulary(), seed=1)


def test_two_weights_never_start_alike_and_a_seed_repeats():
    first, again, other = (build_model(ModelConfig(name="sli_rec"), random_vocabulary(), seed) for seed in (1, 1, 2))
    values = {name: variable.numpy() for name, variable in first.named_variables().items()}

    np.testing.assert_array_equal(values["embedding/items"], again.embedding.items)
    assert (values["embedding/items"] != other.embedding.items.numpy()).any()
    assert (values["pooling/matrix"] != values["attention/matrix"]).all()
    assert (values["fusion/output_kernel"] != values["attention/tower/output_kernel"]).all()


def test_weights_start_within_two_standard_deviations():
    model = build_model(ModelConfig(name="a2svd", initial_std=0.01), random_vocabulary(), seed=1)

    kernel = model.named_variables()["tower/kernel_0"].numpy()

    assert np.abs(kernel).max() <= 0.02
    assert 0.008 < kernel.std() < 0.01


def test_configs_load_without_tensorflow():
    code = (
        "import sys, seqrec.models.config, seqrec.models.registry,"
        "seqrec.training.objectives.config, seqrec.training.optimizer_config; assert 'tensorflow' not in sys.modules"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": (0.3,)}, "dropout has 1 rates for 2 layer_sizes"),
        ({"dropout": (0.3, 1.0)}, "rates from 0 up to"),
        ({"layer_sizes": ()}, "layer_sizes is"),
        ({"compatibility": "exact"}, "give one of corrected, reference"),
        ({"embed_l2": -1.0}, "embed_l2 is -1.0: give 0 or more"),
        ({"max_history_length": 0}, "max_history_length is 0: give at least 1"),
    ],
)
def test_model_config_refuses_impossible_values(settings, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**settings)


def test_a_quirk_follows_compatibility_unless_set_alone():
    assert ModelConfig(compatibility="corrected").corrects("separate_unknown_item")
    assert not ModelConfig(compatibility="reference").corrects("separate_unknown_item")
    assert ModelConfig(compatibility="reference", separate_unknown_item=True).corrects("separate_unknown_item")


def test_read_model_config_takes_the_section_of_the_model(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 7\nmodel: {name: sli_rec, layer_sizes: [8], dropout: [0.1]}\n")

    config = read_model_config(Storage(str(tmp_path)), "config.yaml")

    assert config == ModelConfig(name="sli_rec", layer_sizes=(8,), dropout=(0.1,))


@pytest.mark.parametrize("text", ["seed: 7", "model: sli_rec", "- model"])
def test_read_model_config_asks_for_the_section_of_the_model(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)

    with pytest.raises(DataError, match=r"config.yaml: no section 'model'. Train the run again"):
        read_model_config(Storage(str(tmp_path)), "config.yaml")
