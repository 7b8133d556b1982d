import dataclasses
import json
import logging

import pytest

from seqrec.core.errors import TrainingError
from seqrec.tuning.search import search
from seqrec.tuning.trial_records import best_of
from tests.tuning.quick_trials import QuickTrials, metric_of, quick_search


def told(study):
    return [(r.number, r.state, r.drawn, r.best_values, r.rungs, r.error) for r in study.records]


def test_search_finds_the_neighbourhood_of_the_best_rate(tmp_path):
    plan = quick_search(tmp_path, QuickTrials(), num_trials=20, sampler={"num_startup_trials": 5})

    study = search(plan)

    best = best_of(study.records)
    assert len(study.records) == 20
    assert 0.005 < best.drawn["training.optimizer.learning_rate"] < 0.02
    assert best.value == pytest.approx(metric_of({"optimizer": {"learning_rate": best.settings[RATE]}}, 4))


RATE = "training.optimizer.learning_rate"
HIDDEN = "model.options.sli_rec.hidden_size"


def test_search_begins_with_the_default(tmp_path):
    plan = quick_search(tmp_path, QuickTrials(), num_trials=2)

    study = search(plan)

    assert study.records[0].settings == {RATE: 1.0e-3, "model.item_dim": 32}
    assert study.records[1].settings != study.records[0].settings


@pytest.mark.parametrize("breaks_at", [0, 5])
def test_search_cut_off_goes_on_to_the_same_end(tmp_path, breaks_at):
    whole = search(quick_search(tmp_path / "whole", QuickTrials()))

    with pytest.raises(KeyboardInterrupt):
        search(quick_search(tmp_path / "cut", QuickTrials(breaks_at=breaks_at)))
    resumed = search(quick_search(tmp_path / "cut", executor := QuickTrials()))

    assert told(resumed) == told(whole)
    assert len(executor.tasks) == 8 - breaks_at


def test_search_killed_within_a_trial_goes_on_to_the_same_end(tmp_path):
    whole = search(quick_search(tmp_path / "whole", QuickTrials()))

    search(quick_search(tmp_path / "cut", QuickTrials(), num_trials=5))
    last = max(whole.records[:5], key=lambda record: len(record.rows)).number
    files = quick_search(tmp_path / "cut", QuickTrials()).files
    for record in files.read_all()[last + 1 :]:
        files.storage.delete(files.folder(record.number))
    record = files.read_all()[last]
    kept = {key: value for key, value in record.rungs.items() if key.endswith("_0")}
    cut = dataclasses.replace(
        record, state="running", rows=record.rows[:2], best_values=record.best_values[:2], rungs=kept
    )
    files.write(cut)
    resumed = search(quick_search(tmp_path / "cut", QuickTrials()))

    assert told(resumed) == told(whole)


def test_search_with_more_trials_goes_on_from_fewer(tmp_path):
    whole = search(quick_search(tmp_path / "whole", QuickTrials(), num_trials=7))

    search(quick_search(tmp_path / "grown", QuickTrials(), num_trials=4))
    grown = search(quick_search(tmp_path / "grown", QuickTrials(), num_trials=7))

    assert told(grown) == told(whole)


def test_search_prunes_by_successive_halving(tmp_path):
    pruning = {"min_epochs": 1, "reduction_factor": 2}
    plan = quick_search(tmp_path, QuickTrials(), num_trials=12, pruning=pruning, sampler={"name": "random"})

    study = search(plan)

    first_epochs = []
    for record in study.records:
        # Among the best half of all that came so far, itself included (one at least), after epoch 1.
        first_epochs.append(record.best_values[0])
        survivors = sorted(first_epochs, reverse=True)[: max(1, len(first_epochs) // 2)]
        assert (len(record.rows) > 1) == (record.best_values[0] >= survivors[-1])
    pruned = [record for record in study.records if record.state == "pruned"]
    assert pruned
    assert all(len(record.rows) in (1, 2, 4) for record in pruned)


def test_search_without_pruning_trains_every_trial_to_its_end(tmp_path):
    study = search(quick_search(tmp_path, QuickTrials(), pruning={"enabled": False}))

    assert [(record.state, len(record.rows)) for record in study.records] == [("done", 4)] * 8


def test_search_records_failures_and_goes_on(tmp_path, caplog):
    plan = quick_search(tmp_path, QuickTrials(fails_at=(0, 2), dies_at=4))

    with caplog.at_level(logging.INFO, "seqrec"):
        study = search(plan)

    failed = [record for record in study.records if record.state == "failed"]
    assert [record.number for record in failed] == [0, 2, 4]
    assert failed[0].error == "it broke"
    assert failed[0].traceback == "Traceback ..."
    assert "signal 9" in failed[2].error
    assert len(caplog.messages) == 8
    assert "error: it broke" in caplog.messages[0]


def test_search_records_an_error_without_a_text_by_its_name(tmp_path):
    study = search(quick_search(tmp_path, QuickTrials(cannot_run=1), num_trials=3))

    assert [record.state == "failed" for record in study.records] == [False, True, False]
    assert study.records[1].error == "it could not be run: MemoryError"


def test_search_blames_the_time_limit_only_for_a_part_that_reached_it(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(quick_search(tmp_path, QuickTrials(breaks_at=1)))
    files = quick_search(tmp_path, QuickTrials()).files
    record = files.read_all()[1]
    files.write(dataclasses.replace(record, seconds=90.0))

    study = search(quick_search(tmp_path, QuickTrials(dies_at=1), num_trials=2, max_trial_seconds=60))

    assert "killed by signal 9" in study.records[1].error
    assert study.records[1].seconds >= 90.0


def test_search_in_which_every_trial_fails_tells_the_error(tmp_path):
    plan = quick_search(tmp_path, QuickTrials(fails_at=(0, 1, 2)), num_trials=3)

    with pytest.raises(TrainingError, match="None of 3 trials was trained to its end. The last error: it broke"):
        search(plan)


def test_search_counts_values_that_do_not_go_together_as_failed(tmp_path):
    space = {
        RATE: {"low": 0.001, "high": 0.1, "log": True},
        "model.layer_sizes": {"choices": [[64], [64, 32]]},
        "model.dropout": {"choices": [[0.1], [0.1, 0.1]]},
    }
    plan = quick_search(tmp_path, executor := QuickTrials(), space=space, num_trials=12)

    study = search(plan)

    impossible = [r for r in study.records if len(r.settings["model.layer_sizes"]) != len(r.settings["model.dropout"])]
    assert impossible
    assert all(record.state == "failed" for record in impossible)
    assert all("layer_sizes" in record.error for record in impossible)
    assert len(executor.tasks) == 12 - len(impossible)


def test_search_starts_no_process_for_a_model_that_cannot_be_built(tmp_path):
    space = {
        "model.name": {"choices": ["sli_rec"]},
        "model.item_dim": {"choices": [16, 32]},
        "model.options.sli_rec.hidden_size": {"choices": [24, 40]},
    }
    plan = quick_search(tmp_path, executor := QuickTrials(), space=space, num_trials=12)

    study = search(plan)

    impossible = [r for r in study.records if r.settings[HIDDEN] != r.settings["model.item_dim"] + 8]
    assert impossible
    assert all("item_dim + category_dim is" in record.error for record in impossible)
    assert len(executor.tasks) == 12 - len(impossible)


def test_search_in_parallel_runs_every_trial_once(tmp_path):
    plan = quick_search(tmp_path, executor := QuickTrials(), num_trials=9, num_parallel=3)

    study = search(plan)

    assert sorted(task.folder for task in executor.tasks) == [f"tuning/toy/trials/{n:04d}" for n in range(9)]
    assert all(record.is_over for record in study.records)


def test_search_hands_no_trial_the_test_split(tmp_path):
    plan = quick_search(tmp_path, executor := QuickTrials(), num_trials=2)

    search(plan)

    for task in executor.tasks:
        assert "sequences/validation" in json.loads(task.prepared)["tables"]
        assert "sequences/test" not in task.prepared


def test_search_leaves_only_small_files_of_a_finished_trial(tmp_path):
    search(quick_search(tmp_path, QuickTrials(), num_trials=1))

    left = [path.name for path in (tmp_path / "tuning/toy/trials/0000").iterdir()]
    assert left == ["trial.json"]
