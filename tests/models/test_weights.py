import zipfile

import numpy as np
import pytest

from seqrec.core.errors import DataError
from seqrec.models import weights
from seqrec.models.registry import MODELS, build_model
from seqrec.models.weights import load_variables, load_weights, save_weights
from tests.models.random_batches import random_model, random_vocabulary


def values_of(model):
    return {name: variable.numpy() for name, variable in model.named_variables().items()}


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("block_bytes", [64, 64 * 2**20])
def test_load_weights_restores_what_was_saved(tmp_path, monkeypatch, name, block_bytes):
    monkeypatch.setattr(weights, "_BLOCK_BYTES", block_bytes)
    saved, other = random_model(name, seed=1), random_model(name, seed=2)

    save_weights(saved, tmp_path / "weights.npz")
    load_weights(other, tmp_path / "weights.npz")

    for variable_name, value in values_of(saved).items():
        np.testing.assert_array_equal(values_of(other)[variable_name], value, err_msg=variable_name)


def test_load_weights_restores_into_a_model_that_was_not_drawn(tmp_path):
    saved, empty = random_model("sli_rec"), build_model(random_model("sli_rec").config, random_vocabulary(), seed=None)
    assert not empty.embedding.items.numpy().any()

    save_weights(saved, tmp_path / "weights.npz")
    load_weights(empty, tmp_path / "weights.npz")

    for variable_name, value in values_of(saved).items():
        np.testing.assert_array_equal(values_of(empty)[variable_name], value, err_msg=variable_name)


def test_save_weights_writes_plain_arrays_by_name(tmp_path):
    model = random_model("a2svd")

    save_weights(model, tmp_path / "weights.npz")

    with np.load(tmp_path / "weights.npz", allow_pickle=False) as stored:
        assert set(stored.files) == set(model.named_variables())
        np.testing.assert_array_equal(stored["embedding/items"], model.embedding.items)


def test_load_weights_refuses_another_shape_and_changes_nothing(tmp_path):
    save_weights(random_model("a2svd", item_dim=6), tmp_path / "weights.npz")
    model = random_model("a2svd", item_dim=5)
    before = values_of(model)

    with pytest.raises(DataError, match=r"'embedding/items' is float32 \[14, 6\], expected float32 \[14, 5\]"):
        load_weights(model, tmp_path / "weights.npz")

    np.testing.assert_array_equal(values_of(model)["embedding/items"], before["embedding/items"])


def test_load_weights_refuses_another_model(tmp_path):
    save_weights(random_model("gru"), tmp_path / "weights.npz")

    with pytest.raises(DataError, match="'gru/bias' is not a variable of the model"):
        load_weights(random_model("a2svd"), tmp_path / "weights.npz")


def test_load_weights_says_that_the_file_is_missing(tmp_path):
    with pytest.raises(DataError, match="no such file of weights"):
        load_weights(random_model("a2svd"), tmp_path / "weights.npz")


def test_load_weights_refuses_a_cut_off_file(tmp_path):
    path = tmp_path / "weights.npz"
    save_weights(random_model("a2svd"), path)
    path.write_bytes(path.read_bytes()[:500])

    with pytest.raises(DataError, match="cannot read the weights"):
        load_weights(random_model("a2svd"), path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param(6, 99, id="of a later zip"),
        pytest.param(8, 1, id="encrypted"),
        pytest.param(10, 9, id="another compression"),
        pytest.param(46 + len("embedding/items"), 0, id="a name cut short"),
    ],
)
def test_load_weights_refuses_a_damaged_directory(tmp_path, place, value):
    path = tmp_path / "weights.npz"
    save_weights(random_model("a2svd"), path)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + place] = value
    path.write_bytes(content)

    with pytest.raises(DataError, match="weights"):
        load_weights(random_model("a2svd"), path)


def test_load_variables_refuses_pickled_objects(tmp_path):
    model = random_model("a2svd")
    with zipfile.ZipFile(tmp_path / "weights.npz", "w") as archive:
        for name in model.named_variables():
            with archive.open(f"{name}.npy", "w") as stream:
                np.lib.format.write_array(stream, np.array([{}], object), version=(2, 0), allow_pickle=True)

    with pytest.raises(DataError, match="plain numbers"):
        load_variables(model.named_variables(), tmp_path / "weights.npz")
