import gc

import pytest

from seqrec.core.storage import Storage
from seqrec.models.contract import SequenceModel
from seqrec.recommendation import scoring
from seqrec.recommendation.trained_run import read_run
from tests.recommendation.world import write_run, write_world


def test_load_scorer_keeps_the_tables_of_one_run_only(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    prepared = write_world(storage)
    monkeypatch.setattr(scoring, "_LOADED", {})
    monkeypatch.setattr(scoring, "_limit_threads", lambda num_threads: None)  # For this process, all its life.
    for name in ("a2svd", "sli_rec"):
        write_run(storage, prepared, name, name)
    gc.collect()
    others = {id(model) for model in gc.get_objects() if isinstance(model, SequenceModel)}

    for name in ("a2svd", "sli_rec"):
        scoring.load_scorer(storage, read_run(storage, name), pairs_at_once=1024, num_threads=1)

    models = [each for each in gc.get_objects() if isinstance(each, SequenceModel) and id(each) not in others]
    assert [model.config.name for model in models] == ["sli_rec"]
