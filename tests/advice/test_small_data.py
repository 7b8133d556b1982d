"""Data that is too small: all that is wrong is said at once, with one set of settings that works."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from seqrec.core.errors import DataError, SmallDataError
from seqrec.core.storage import Storage
from seqrec.pipeline.config import RunConfig, load_run_config
from seqrec.pipeline.stages import with_training
from seqrec.preparation.stage import run_prepare
from seqrec.training.stage import run_train
from tests.advice.following import told
from tests.feed.prepared_data import write_prepared
from tests.preparation.ingested import DAY, publish_ingested, reviews_of

ALL_OF_SIX = reviews_of(
    *[(f"u{user}", f"i{item}", (item * 7 + user) % 11 * DAY) for user in range(30) for item in range(6)]
)


def refused(spark, storage: Storage, run: RunConfig) -> DataError:
    with pytest.raises(SmallDataError) as caught:
        run_prepare(spark, storage, "small", run.preparation, run.seed)
    return with_training(caught.value, run)


def plan(storage: Storage, settings: Sequence[str]) -> None:
    run = load_run_config(None, [*settings, "training.dry_run=true"]).run
    run_train(storage, "small", run.run, run.model, run.training, run.seed, False)


def test_users_who_took_all_items_need_one_change_of_settings(spark, tmp_path: Path, capsys) -> None:
    storage = Storage(str(tmp_path))
    publish_ingested(spark, storage, ALL_OF_SIX)
    first = ["training.num_workers=2", "preparation.exclude_own_items=true", "training.metric=catalogue_ndcg@10"]

    error = refused(spark, storage, load_run_config(None, first).run)

    assert told(str(error)) == [
        "preparation.exclude_own_items=false",
        "preparation.num_test_negatives=5",
        "training.num_streams=1",
        "training.num_workers=1",
        "training.global_batch_size=90",
        "training.metric=catalogue_ndcg@5",
    ]
    settings = [*first, *told(str(error))]
    run = load_run_config(None, settings).run
    run_prepare(spark, storage, "small", run.preparation, run.seed)
    plan(storage, settings)
    assert "1 steps of 90 examples" in capsys.readouterr().out
    # The same, found at the stage itself.
    with pytest.raises(ValueError, match="num_streams=8 does not divide the 1 train files") as caught:
        plan(storage, ["model.max_history_length=300"])
    assert "model.max_history_length=200" in told(str(caught.value))
    plan(storage, ["model.max_history_length=300", *told(str(caught.value))])


def test_one_item_has_nothing_to_be_ranked_against(spark, tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    publish_ingested(
        spark, storage, reviews_of(*[(f"u{user}", "i", day * DAY) for user in range(9) for day in range(6)])
    )

    error = refused(spark, storage, load_run_config(None).run)

    assert str(error) == (
        "All interactions that are kept are of 1 item, so there is nothing to rank it against: keep more items (loosen "
        "the filters of preparation), or give data of several items."
    )
    assert not storage.exists("prepared/small/_manifest.json")


def test_a_small_plan_warns_of_the_targets_left_over_and_what_it_says_to_set_leaves_few(tmp_path: Path, capsys) -> None:
    storage, _ = write_prepared(tmp_path, name="small", num_users=400, num_events=(8, 8))
    settings = ["model.max_history_length=8", "training.global_batch_size=552"]  # 69 of each of 8 streams.

    plan(storage, settings)

    said = capsys.readouterr().out
    assert "targets: 2,000; left over 344 (17.20%), others each epoch\n" in said  # 3 steps of 69 x 8.
    [warning] = [line for line in said.splitlines() if line.startswith("Warning: ")]
    # 62 x 8 = 496 examples of each of 8 streams are 4 steps.
    assert warning == (
        "Warning: 344 of 2,000 training targets are left over in each epoch (17.2%): "
        "set training.global_batch_size=496, which leaves 16 (0.8%)."
    )
    plan(storage, [*settings, *told(warning)])
    said = capsys.readouterr().out
    assert "left over 16 (0.80%)" in said
    assert "Warning" not in said
