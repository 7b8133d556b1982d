import dataclasses

import pytest

from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.stage import run_evaluate
from seqrec.tuning.comparison import ComparedRuns, Resampling, compare_runs
from seqrec.tuning.report import comparison_lines
from tests.evaluation.worlds import write_prepared, write_run

CONFIG = EvaluationConfig(baselines=(), num_replicates=0, report=False)
METRICS = ("group_auc", "mrr", "ndcg@10", "hit_rate@1")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Four runs of models that nobody has trained: two pairs of winner and default."""
    storage = Storage(str(tmp_path_factory.mktemp("compared")))
    prepared = write_prepared(storage, "small")
    for number, name in enumerate(("w1", "w2", "d1", "d2")):
        write_run(storage, prepared, name, seed=3 + number)
    return storage


def compared(spark, world, winners, defaults):
    prepared = Dataset(world, "prepared", "small").require("prepare")
    runs = ComparedRuns(tuple(winners), tuple(defaults), (1, 2)[: len(winners)])
    return compare_runs(spark, world, prepared, runs, CONFIG, Resampling(seed=1, num_replicates=400, confidence=0.95))


@pytest.fixture(scope="module")
def comparison(spark, world):
    return compared(spark, world, ["w1", "w2"], ["d1", "d2"])


def test_compare_runs_measures_every_run_as_the_evaluation_does(spark, world, comparison):
    for place, (winner, default) in enumerate((("w1", "d1"), ("w2", "d2"))):
        alone = run_evaluate(spark, world, "small", winner, dataclasses.replace(CONFIG, compare_to=default), seed=1)
        for metric in METRICS:
            measured = comparison.metrics[metric]
            assert measured.winner[place] == pytest.approx(alone.results[0].metrics[metric], abs=1e-8)
            assert measured.default[place] == pytest.approx(alone.results[1].metrics[metric], abs=1e-8)


def test_compare_runs_leads_by_the_mean_over_seeds(comparison):
    for metric in METRICS:
        measured = comparison.metrics[metric]
        by_seed = [winner - default for winner, default in zip(measured.winner, measured.default, strict=True)]
        assert measured.difference == pytest.approx(sum(by_seed) / 2)
        assert measured.num_seeds_ahead == sum(lead > 0 for lead in by_seed)
        assert measured.interval[0] <= measured.difference <= measured.interval[1]


def test_compare_runs_turned_round_tells_the_same(spark, world, comparison):
    turned = compared(spark, world, ["d1", "d2"], ["w1", "w2"])

    for metric in METRICS:
        there, back = comparison.metrics[metric], turned.metrics[metric]
        assert back.difference == pytest.approx(-there.difference)
        assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))
        assert back.p_value == there.p_value


def test_compare_runs_finds_nothing_between_equal_runs(spark, world):
    same = compared(spark, world, ["w1", "w2"], ["w1", "w2"])

    assert all(m.difference == 0.0 and m.interval == (0.0, 0.0) and m.p_value == 1.0 for m in same.metrics.values())


def test_compare_runs_takes_the_spread_over_seeds_into_the_interval(spark, world):
    steady = compared(spark, world, ["w1"], ["d1"]).metrics["group_auc"].interval
    wavering = compared(spark, world, ["w1", "d1"], ["d1", "w1"]).metrics["group_auc"]

    assert wavering.difference == 0.0
    assert wavering.p_value == 1.0
    assert wavering.interval[1] - wavering.interval[0] > 0.9 * (steady[1] - steady[0])


def test_comparison_lines_show_lead_interval_and_seeds(comparison):
    lines = comparison_lines(comparison, ["group_auc"])

    measured = comparison.metrics["group_auc"]
    assert "60 rows with 9 negatives, 2 seeds" in lines[0]
    assert f"{measured.difference:+.4f}" in lines[2]
    assert f"[{measured.interval[0]:+.4f}, {measured.interval[1]:+.4f}]" in lines[2]
    assert lines[2].endswith(f"{measured.num_seeds_ahead} of 2")
