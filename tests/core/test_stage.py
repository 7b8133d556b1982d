import logging

import pytest

from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage

RECIPE = Recipe(stage="train", settings={"k": 5}, inputs={"prepared": "ab"})
OTHER = Recipe(stage="train", settings={"k": 6}, inputs={"prepared": "ab"})


@pytest.fixture
def dataset(tmp_path):
    return Dataset(Storage(str(tmp_path)), "runs", "demo")


def publish(dataset, recipe=RECIPE, epochs=3):
    return StageOutput(dataset, recipe, force=False).begin().publish(counts={"epochs": epochs})


def test_a_result_of_the_same_recipe_is_current_and_the_log_says_that_the_stage_is_skipped(dataset, caplog):
    published = publish(dataset)

    with caplog.at_level(logging.INFO):
        current = StageOutput(dataset, RECIPE, force=False).current(extent=lambda it: f"{it.counts['epochs']} epochs")

    assert current == published
    assert caplog.messages == ["train: 'demo' is up to date (3 epochs), skipped (--set force=true redoes it)"]


def test_a_result_of_another_recipe_or_too_short_or_forced_is_not_current(dataset, caplog):
    published = publish(dataset)

    with caplog.at_level(logging.INFO):
        assert StageOutput(dataset, OTHER, force=False).current() is None
        assert StageOutput(dataset, RECIPE, force=False).current(lambda it: it.counts["epochs"] >= 4) is None
        assert StageOutput(dataset, RECIPE, force=True).current() is None

    assert StageOutput(dataset, RECIPE, force=False).earlier == published
    assert StageOutput(dataset, OTHER, force=False).earlier is None
    assert StageOutput(dataset, RECIPE, force=True).earlier is None
    assert caplog.messages == []


def test_only_a_stage_that_resumes_begins_in_the_unfinished_attempt_and_never_when_forced(dataset):
    def begun(resumes, force=False):
        return StageOutput(dataset, RECIPE, force, resumes).begin().id

    first = begun(resumes=True)

    assert begun(resumes=True) == first
    assert begun(resumes=True, force=True) != first
    assert begun(resumes=False) != begun(resumes=False)


def test_other_attempts_are_those_that_a_beginning_deletes(dataset):
    publish(dataset, OTHER)
    unfinished = StageOutput(dataset, OTHER, force=False).begin()
    output = StageOutput(dataset, RECIPE, force=False)

    assert output.other_attempts() == [unfinished.id]
    assert StageOutput(dataset, OTHER, force=False).other_attempts() == []

    output.begin()

    assert output.other_attempts() == []
