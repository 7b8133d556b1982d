"""Several workers where Horovod or Spark has no place for them, and studies whose trials are not whole."""

import json
from pathlib import Path
from typing import Any

import pytest

from seqrec.core.errors import ConfigError, SeqrecError
from seqrec.core.manifest import Dataset
from seqrec.pipeline.config import load_run_config
from seqrec.training.checks import choose_launcher
from seqrec.training.workers import horovod_ready
from seqrec.training.workers.launchers import launch_on_spark
from seqrec.tuning.stage import tuning_recipe
from tests.advice.following import told
from tests.feed.prepared_data import write_prepared
from tests.tuning.toy_study import toy_configs, tune_toy


@pytest.mark.parametrize(("may_build", "compiler"), [(False, "g++"), (True, None)])
def test_one_worker_needs_no_horovod(monkeypatch: pytest.MonkeyPatch, may_build: bool, compiler: str | None) -> None:
    monkeypatch.setattr(horovod_ready, "_may_build", lambda: may_build)
    monkeypatch.setattr(horovod_ready, "_compiler", lambda: compiler)
    settings = ["training.num_workers=2"]
    assert choose_launcher(load_run_config(None, settings).run.training) != "in_process"

    with pytest.raises(ConfigError, match="set training.num_workers=1, which needs no Horovod") as caught:
        horovod_ready.check_can_build()

    advice = told(str(caught.value))
    assert advice == ["training.num_workers=1"]
    assert choose_launcher(load_run_config(None, [*settings, *advice]).run.training) == "in_process"


def _number_of_workers(_: Any) -> int:
    import horovod.tensorflow as hvd

    hvd.init()
    return int(hvd.size())


@pytest.mark.slow
def test_as_many_workers_as_spark_has_slots_are_started(spark: Any) -> None:
    with pytest.raises(ConfigError, match=r"num_workers=3 but Spark runs with 2 slots: .*use fewer workers"):
        launch_on_spark(_number_of_workers, None, 3, 60, spark)

    assert launch_on_spark(_number_of_workers, None, 2, 60, spark) == 2


TRIAL = {"number": 0, "state": "failed", "drawn": {}, "distributions": {}, "settings": {}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(TRIAL), "with other settings or data. .*set tuning.resume=never to start over"),
        (json.dumps(TRIAL | {"number": 1}), "a trial is missing .*--set tuning.resume=never"),
        ("{", "not a readable trial .*--set tuning.resume=never"),
    ],
)
def test_a_study_that_cannot_be_resumed_starts_over(tmp_path: Path, content: str, message: str) -> None:
    storage, prepared = write_prepared(tmp_path, num_users=120)
    attempt = Dataset(storage, "tuning", "toy").begin(tuning_recipe(prepared, *toy_configs(), seed=2))
    storage.write_bytes(f"{attempt.path}/trials/0000/trial.json", content.encode())

    with pytest.raises(SeqrecError, match=message):
        tune_toy(tmp_path)

    assert tune_toy(tmp_path, num_trials=1, resume="never").counts["trials"] == 1
