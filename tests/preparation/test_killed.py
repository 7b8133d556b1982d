"""A job that dies leaves nothing that a later stage would read, and the next one finishes."""

import pytest

from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.preparation import prepared_tables, stage
from seqrec.preparation.config import PreparationConfig
from seqrec.preparation.health import health_report
from seqrec.preparation.stage import run_prepare
from tests.preparation.ingested import DAY, publish_ingested, reviews_of

CONFIG = PreparationConfig(min_interactions=0, num_validation_negatives=1, num_test_negatives=2)
REVIEWS = reviews_of(*[(user, item, day * DAY) for user in ("ann", "bob") for day, item in enumerate("abcd")])


class Killed(BaseException):
    pass


def dies(*_: object, **__: object) -> None:
    raise Killed


def test_a_killed_job_publishes_nothing_and_the_next_one_cleans_up(spark, tmp_path, monkeypatch):
    storage = Storage(str(tmp_path))
    publish_ingested(spark, storage, REVIEWS)
    prepared = Dataset(storage, "prepared", "small")

    for module, step in ((stage, "count_split"), (prepared_tables, "build_latest"), (health_report, "print_health")):
        with monkeypatch.context() as patch:
            patch.setattr(module, step, dies)
            with pytest.raises(Killed):
                run_prepare(spark, storage, "small", CONFIG, 7)
        assert len(storage.list_folders("prepared/small")) == 1
        assert prepared.manifest() is None

    manifest = run_prepare(spark, storage, "small", CONFIG, 7)
    assert prepared.manifest() == manifest
    assert storage.list_folders("prepared/small") == [manifest.id]
    assert storage.list_folders(f"prepared/small/{manifest.id}") == ["sequences", "vocabulary"]
