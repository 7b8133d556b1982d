"""A metric is one entry of `METRICS`: training, evaluation, lists and the report find it there."""

import numpy as np
import pytest

from seqrec.core.metrics import METRICS, Metric, Reads, TargetCounts, measure_scores
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.report.report import build_report
from seqrec.evaluation.results import comparison_table
from seqrec.evaluation.statistics.row_metrics import metric_names, row_metrics
from seqrec.evaluation.statistics.sampling_correction import corrected_metrics
from seqrec.recommendation.rules.figures import list_metrics
from seqrec.training.config import TrainingConfig
from tests.evaluation.evaluation_by_hand import evaluation

SCORES = np.array([[3.0, 1.0, 2.0], [1.0, 3.0, 2.0]], np.float32)  # Ranks 1 and 3.


@pytest.fixture(autouse=True)
def new_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """One with a cutoff, of which more is better, and one without, of which less is."""
    graded = Metric(
        name="graded_hit",
        reads=Reads.RANKS,
        function=lambda ranks, k: np.maximum(k + 1.0 - ranks, 0.0) / k,
        meaning="how far before the end of the list the target stands",
        has_cutoff=True,
    )
    doubled = Metric(
        name="log2_rank",
        reads=Reads.RANKS,
        function=np.log2,
        meaning="how often the list must be doubled",
        heading="log2",
        less_is_better=True,
    )
    for metric in (graded, doubled):
        monkeypatch.setitem(METRICS, metric.name, metric)


def test_training_computes_it_after_each_epoch_and_may_stop_by_it() -> None:
    measured = measure_scores(SCORES, [2, 4])

    assert measured["graded_hit@2"] == 0.5
    assert measured["graded_hit@4"] == 0.75
    assert measured["log2_rank"] == pytest.approx(np.log2(3) / 2)
    assert TrainingConfig(metric="graded_hit@2").metric == "graded_hit@2"


def test_training_does_not_stop_by_a_metric_of_which_less_is_better() -> None:
    with pytest.raises(ValueError, match="metric is 'log2_rank': give one of auc, .*, graded_hit@K"):
        TrainingConfig(metric="log2_rank")


def test_the_evaluation_computes_it_for_every_row_at_the_cutoffs_of_hit_rate() -> None:
    cutoffs = EvaluationConfig(hit_rate_cutoffs=(2, 4)).cutoffs

    found = row_metrics(TargetCounts(np.array([[0], [2]]), np.array([[0], [0]]), np.array([[2], [2]])), cutoffs)

    by_name = dict(zip(metric_names(cutoffs), found[:, 0].T.tolist(), strict=True))
    assert by_name["graded_hit@2"] == [1.0, 0.0]
    assert by_name["graded_hit@4"] == [1.0, 0.5]
    assert by_name["log2_rank"] == pytest.approx([0.0, np.log2(3)])


def test_the_correction_for_sampling_estimates_it() -> None:
    corrected = corrected_metrics(np.array([1, 3]), np.array([1, 1]), 2, 3, {name: (2,) for name in METRICS})

    assert corrected["graded_hit@2"] == pytest.approx(0.5)


def test_lists_are_measured_with_it() -> None:
    assert list_metrics(4)["graded_hit@4"].tolist() == [1.0, 0.75, 0.5, 0.25]


def test_the_report_and_the_table_show_it() -> None:
    measured = evaluation("books")
    for result in measured.results:
        result.metrics["log2_rank"] = 1.5

    assert "how often the list must be doubled" in build_report("books", {"books": [measured]}, {})
    assert "log2" in [column.header for column in comparison_table([measured]).columns]
