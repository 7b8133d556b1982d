import pytest

from seqrec.core.errors import ConfigError
from seqrec.pipeline.config import load_run_config


def features(text):
    return load_run_config(None, [f"features={text}"]).run.features.all


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("column: rating, kind: categorical", "leaks: column rating: a rating of the item that the model must predict"),
        ("column: votes, kind: continuous", "leaks: column votes: votes are given after the event"),
        ("column: target_item, kind: categorical", "leaks: column target_item: it is what the model must predict"),
        ("column: asin, kind: categorical", "leaks: column asin: it names the item itself"),
        ("column: brnad, kind: categorical", "items have no column 'brnad'. Use one of also_buy"),
        (
            "column: brand, kind: continuous",
            "column brand holds text, so it is not continuous: use categorical or multi",
        ),
        ("column: price, kind: categorical", "column price holds number, so it is not categorical: use continuous"),
        (
            "column: price, kind: continuous, embedding: hash",
            "has no embedding hash: use quantiles, standardised, piece",
        ),
        ("column: title, kind: multi", "words is 0: give 1 or more for a multi feature of a text"),
    ],
)
def test_a_feature_that_cannot_be_is_refused_by_name(declared, words):
    with pytest.raises(ConfigError) as error:
        features(f"[{{name: mine, {declared}}}]")

    assert "feature 'mine'" in str(error.value)
    assert words in str(error.value)


def test_the_short_forms_stand_for_the_section():
    own = "{name: maker, column: brand, kind: categorical}"

    assert [feature.name for feature in features("amazon")] == ["brand", "category_path", "price", "title"]
    assert features(f"[{own}]") == features(f"{{declared: [{own}]}}")
    assert len(features(f"{{preset: amazon, declared: [{own}]}}")) == 5
    assert features("[]") == ()


def test_two_features_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="feature 'brand' is declared twice"):
        features("{preset: amazon, declared: [{name: brand, column: brand, kind: categorical}]}")
