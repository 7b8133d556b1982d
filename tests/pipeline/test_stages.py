"""The table of stages against the functions that it names, the jobs and the configuration."""

import inspect
import typing
from pathlib import Path

import pytest

from seqrec.core.storage import Storage
from seqrec.pipeline.config import LoadedConfig, RunConfig, load_run_config
from seqrec.pipeline.keys import sections
from seqrec.pipeline.stages import STAGES, load_function, run_stage

ROOT = Path(__file__).parents[2]
every_job = pytest.mark.parametrize("job", STAGES)


def types_given(section: str) -> dict[str, typing.Any]:
    """The type of every value that a parameter of a stage's function may ask for by its name."""
    given = typing.get_type_hints(RunConfig) | {"run": str, "study": str, "storage": Storage, "loaded": LoadedConfig}
    return given | {"config": given[section]}


@every_job
def test_the_functions_of_a_stage_take_only_what_there_is(job):
    stage = STAGES[job]
    given = types_given(stage.section)
    for name in filter(None, (stage.run, stage.shortcut)):
        parameters = dict(inspect.signature(load_function(name)).parameters)
        if "inputs" in parameters:
            parameters |= inspect.signature(parameters.pop("inputs").annotation).parameters
        parameters.pop("spark", None)

        assert {each: parameter.annotation for each, parameter in parameters.items()} == {
            each: given.get(each) for each in parameters
        }


@every_job
def test_a_stage_reads_the_sections_that_its_function_takes(job):
    stage = STAGES[job]
    parameters = inspect.signature(load_function(stage.run)).parameters
    inputs = inspect.signature(parameters["inputs"].annotation).parameters if "inputs" in parameters else {}

    taken = {stage.section} | {name for name in (*parameters, *inputs) if name in sections()}

    assert taken <= set(stage.reads) <= set(sections())


@every_job
def test_a_job_is_the_script_of_its_own_stage(job):
    assert f'run_job("{job}", __file__)' in (ROOT / "jobs" / f"{job}.py").read_text()


def test_every_section_belongs_to_a_stage():
    assert {part for stage in STAGES.values() for part in stage.reads} == set(sections())


def test_one_user_is_shown_without_spark(monkeypatch):
    shown = []
    monkeypatch.setattr("seqrec.recommendation.lists.show_user.show_user", lambda *given: shown.append(given[1:3]))
    monkeypatch.setattr("seqrec.tables.sessions.spark_session", lambda *_: pytest.fail("a session was started"))

    run_stage("recommend", load_run_config(None, ["recommendation.user=ann"]))

    assert shown == [("demo", "demo-a2svd")]
