from pathlib import Path

import pytest

import seqrec
from seqrec.core.errors import ConfigError


def config_file(folder: Path, text: str) -> Path:
    file = folder / "a.yaml"
    file.write_text(text)
    return file


def test_arguments_win_over_the_file_key_by_key(tmp_path: Path) -> None:
    file = config_file(tmp_path, "seed: 4\ntraining: {num_epochs: 7, num_workers: 2}\n")

    config = seqrec.configure(file, workdir=tmp_path / "out", training={"num_workers": 1})

    assert config.run.seed == 4
    assert (config.run.training.num_epochs, config.run.training.num_workers) == (7, 1)
    assert config.run.workdir == str(tmp_path / "out")


def test_a_list_replaces_the_list_of_the_file(tmp_path: Path) -> None:
    file = config_file(tmp_path, "evaluation: {hit_rate_cutoffs: [1, 5]}\n")

    config = seqrec.configure(file, evaluation={"hit_rate_cutoffs": (3,)})

    assert config.run.evaluation.hit_rate_cutoffs == (3,)


def test_spark_settings_of_a_section_stay_apart() -> None:
    config = seqrec.configure(ingestion={"spark": {"spark.sql.shuffle.partitions": 4}})

    assert config.spark == {"ingestion": {"spark.sql.shuffle.partitions": "4"}}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"training": {"num_epoch": 3}},
            r"^configure\(\): unknown key 'training.num_epoch'. Did you mean 'num_epochs'",
        ),
        ({"wrkdir": "x"}, r"^configure\(\): unknown key 'wrkdir'. Did you mean 'workdir'"),
        ({"training": {"num_epochs": "three"}}, r"^configure\(\): training.num_epochs: expected .* got 'three'"),
        ({"training": 3}, r"^configure\(\): training: expected a section of keys, got 3"),
    ],
)
def test_an_error_names_the_argument(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        seqrec.configure(**settings)


def test_an_error_in_the_file_names_the_file(tmp_path: Path) -> None:
    file = config_file(tmp_path, "training: {num_epoch: 3}\n")

    with pytest.raises(ConfigError, match=r"a\.yaml: unknown key 'training.num_epoch'"):
        seqrec.configure(file, training={"num_workers": 1})


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'seqrec' has no attribute 'fit'"):
        _ = seqrec.fit


def test_every_public_function_is_there_and_explained() -> None:
    for name in set(seqrec.__all__) - {"Config"}:
        function = getattr(seqrec, name)
        assert function.__doc__, name
        assert "Returns:" in function.__doc__, name
