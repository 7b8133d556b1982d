"""Compares the winner with the default on the test split, over several seeds, as the best trial may just be lucky.

The test split is read here and nowhere else in tuning, after the winner is chosen.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.evaluation.checks import check_rows
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.rankings.catalogue import read_category_names
from seqrec.evaluation.rankings.model_ranking import ranker_of_run
from seqrec.evaluation.rankings.predictions import build_predictions, in_shards, with_user_key
from seqrec.evaluation.rankings.ranker import ComparedRankers
from seqrec.evaluation.rows import USER_KEY
from seqrec.evaluation.statistics.exact_sums import Part, Sums, collect_sums, dense_part
from seqrec.evaluation.statistics.prediction_batch import counts_of
from seqrec.evaluation.statistics.row_metrics import Cutoffs, from_whole, metric_names, row_metrics, to_whole
from seqrec.evaluation.statistics.slices import build_slicer
from seqrec.events.vocabulary import read_vocabulary
from seqrec.scoring.intervals import interval, poisson_weights, sign_flip_p_value, signs, weighted_sums
from seqrec.scoring.run import read_run
from seqrec.tables.files import read_table
from seqrec.tables.prepared_schemas import EVALUATION

_SHARD_ROWS = 4096


@dataclass(frozen=True)
class MetricComparison:
    """One metric of the winner and of the default, trained with the same seeds."""

    winner: list[float]  # Mean over the rows, for each seed.
    default: list[float]
    difference: float  # Mean over seeds and rows, winner minus default.
    interval: tuple[float, float]  # Interval of the difference: bootstrap of the users and of the seeds.
    p_value: float  # Two-sided sign-flip test over users, of each user's mean difference over the seeds.
    num_seeds_ahead: int


@dataclass(frozen=True)
class Comparison:
    """The end of a study: how much better its winner is than the default."""

    winner_runs: list[str]
    default_runs: list[str]
    seeds: list[int]
    num_rows: int
    num_negatives: int
    confidence: float
    num_replicates: int
    metrics: dict[str, MetricComparison]

    def to_json_values(self) -> dict[str, Any]:
        """The fields as JSON can hold them."""
        return asdict(self)


@dataclass(frozen=True)
class ComparedRuns:
    """The runs to compare: in each place a winner and a default that were trained with the same seed."""

    winners: tuple[str, ...]
    defaults: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Resampling:
    """How the interval and the p-value of a lead are drawn."""

    seed: int
    num_replicates: int
    confidence: float  # Share of the replicates inside the interval.


@dataclass(frozen=True)
class _PairedPlan:
    """What a task needs to know to add up its rows."""

    num_pairs: int  # Pairs of a winner and a default.
    cutoffs: Cutoffs
    resampling: Resampling

    @property
    def names(self) -> tuple[str, ...]:
        return metric_names(self.cutoffs)


def compare_runs(
    spark: SparkSession,
    storage: Storage,
    prepared: Manifest,
    compared: ComparedRuns,
    config: EvaluationConfig,
    resampling: Resampling,
) -> Comparison:
    """Scores the test split with all runs and tests the winner's lead over the default.

    Raises:
        DataError: a run is missing or does not belong to the data, or the split breaks a rule of the evaluation.
    """
    plan = _PairedPlan(len(compared.seeds), config.cutoffs, resampling)
    rows = read_table(spark, storage, prepared, "sequences/test", EVALUATION)
    where = f"{storage.uri(f'prepared/{prepared.name}')}: sequences/test"
    vocabulary = read_vocabulary(storage, prepared)
    counts = check_rows(rows, where, prepared.details["max_stored_history"], vocabulary.num_items)
    runs = [*compared.winners, *compared.defaults]
    rankers = ComparedRankers(
        names=tuple(runs),
        rankers=tuple(ranker_of_run(storage, read_run(storage, run, prepared), config) for run in runs),
        slicer=build_slicer(vocabulary.train_count, vocabulary.item_category, read_category_names(storage, prepared)),
        top_k=1,
    )
    shards = in_shards(with_user_key(rows), counts.num_rows, _SHARD_ROWS)
    predictions = build_predictions(shards, spark.sparkContext.broadcast(rankers))
    sums = collect_sums(predictions, lambda batch: _sums_of_batch(batch, plan))
    return Comparison(
        winner_runs=list(compared.winners),
        default_runs=list(compared.defaults),
        seeds=list(compared.seeds),
        num_rows=counts.num_rows,
        num_negatives=counts.num_negatives,
        confidence=resampling.confidence,
        num_replicates=resampling.num_replicates,
        metrics=_metrics(sums, plan, counts.num_rows),
    )


def _sums_of_batch(batch: pa.RecordBatch, plan: _PairedPlan) -> Iterator[Part]:
    """The shares of one batch in all sums, as whole numbers."""
    users = batch.column(batch.schema.get_field_index(USER_KEY)).to_numpy()
    values = to_whole(row_metrics(counts_of(batch), plan.cutoffs))  # int64 [B, 2 P, M]
    difference = values[:, : plan.num_pairs] - values[:, plan.num_pairs :]  # int64 [B, P, M]
    yield dense_part("total", -1, values.sum(axis=0))
    weighted = np.concatenate([np.ones((batch.num_rows, 1), np.int64), difference.reshape(batch.num_rows, -1)], axis=1)
    seed, replicates = plan.resampling.seed, plan.resampling.num_replicates
    yield dense_part("bootstrap", -1, weighted_sums(poisson_weights, users, seed, replicates, weighted))
    yield dense_part("flip", -1, weighted_sums(signs, users, seed, replicates, difference.sum(axis=1)))


def _metrics(sums: Sums, plan: _PairedPlan, num_rows: int) -> dict[str, MetricComparison]:
    pairs, names, replicates = plan.num_pairs, plan.names, plan.resampling.num_replicates
    totals = sums.dense("total", -1, (2, pairs, len(names)))
    means = from_whole(totals) / num_rows  # float64 [winner or default, P, M]
    bootstrap = sums.dense("bootstrap", -1, (replicates, 1 + pairs * len(names)))
    by_seed = from_whole(bootstrap[:, 1:]).reshape(replicates, pairs, len(names)) / np.maximum(
        bootstrap[:, :1, None], 1
    )
    chosen = np.random.Generator(np.random.Philox(plan.resampling.seed)).integers(0, pairs, (replicates, pairs))
    drawn = np.take_along_axis(by_seed, chosen[:, :, None], axis=1).mean(axis=1)  # float64 [R, M]
    flips = sums.dense("flip", -1, (replicates, len(names)))
    observed = (totals[0] - totals[1]).sum(axis=0)
    return {
        name: MetricComparison(
            winner=[float(value) for value in means[0, :, column]],
            default=[float(value) for value in means[1, :, column]],
            difference=float((means[0] - means[1])[:, column].mean()),
            interval=interval(drawn[:, column], plan.resampling.confidence),
            p_value=sign_flip_p_value(float(observed[column]), flips[:, column].astype(np.float64)),
            num_seeds_ahead=int(np.count_nonzero(means[0, :, column] > means[1, :, column])),
        )
        for column, name in enumerate(names)
    }
