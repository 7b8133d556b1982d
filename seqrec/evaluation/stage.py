"""The evaluate stage: scores one split of prepared data with a run and the baselines, and writes the numbers."""

import dataclasses
import logging
import time
from dataclasses import dataclass
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from seqrec.core.columns import CATEGORY, CATEGORY_INDEX
from seqrec.core.manifest import Dataset, Manifest, digest_of, installed_versions
from seqrec.core.storage import Storage
from seqrec.evaluation.aggregates import Plan, Sums, add_up, count_scores
from seqrec.evaluation.baseline_tables import Material, build_baselines
from seqrec.evaluation.checks import SplitCounts, check_rows, check_validation_before_test
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.measure import paired_test, ranking_results, slice_results
from seqrec.evaluation.predictions import Contest, build_predictions, in_shards, with_user_key
from seqrec.evaluation.results import (
    BASELINE,
    FORMAT_VERSION,
    MODEL,
    Evaluation,
    comparison_table,
    evaluation_path,
    print_table,
    read_evaluation,
)
from seqrec.evaluation.row_metrics import Cutoffs
from seqrec.evaluation.score_bins import auc, dropped_bits, shares
from seqrec.evaluation.slices import build_slicer
from seqrec.evaluation.trained_run import TrainedRun, read_run
from seqrec.feed.vocabulary import CATEGORIES, Vocabulary, read_names, read_vocabulary
from seqrec.preparation.schemas import EVALUATION
from seqrec.tables.files import read_table

_LOG = logging.getLogger(__name__)
_TOP_K = 10  # Of coverage, average popularity and novelty.
_NOT_IN_RECIPE = ("batch_size", "tensorflow_threads", "max_baseline_megabytes", "report", "report_runs")


@dataclass(frozen=True)
class Inputs:
    """Everything that one evaluation reads."""

    storage: Storage
    prepared: Manifest
    vocabulary: Vocabulary
    runs: tuple[TrainedRun, ...]  # The run, and the one it is compared with.
    config: EvaluationConfig
    seed: int

    def recipe(self) -> str:
        """Digest of all that decides the numbers."""
        settings = {k: v for k, v in dataclasses.asdict(self.config).items() if k not in _NOT_IN_RECIPE}
        contents = [self.prepared.content, *((run.name, run.manifest.id, run.manifest.content) for run in self.runs)]
        return digest_of([FORMAT_VERSION, settings, contents, self.seed])


def run_evaluate(
    spark: SparkSession,
    storage: Storage,
    name: str,
    run: str,
    config: EvaluationConfig,
    seed: int,
    force: bool = False,
) -> Evaluation:
    """Evaluates `runs/<run>` on the split `config.split` of `prepared/<name>`; done already, it only says so.

    Writes `runs/<run>/evaluations/<split>-<protocol>.json` and prints the table.

    Raises:
        DataError: the run or the data is not there, they do not belong together, or the split leaks.
    """
    prepared = Dataset(storage, "prepared", name).require("prepare")
    names = [run] if config.compare_to is None else [run, config.compare_to]
    inputs = Inputs(
        storage=storage,
        prepared=prepared,
        vocabulary=read_vocabulary(storage, prepared),
        runs=tuple(read_run(storage, each, prepared, config) for each in names),
        config=config,
        seed=seed,
    )
    stored = read_evaluation(storage, run, config.split, config.protocol)
    if stored is not None and stored.recipe == inputs.recipe() and not force:
        _LOG.info("evaluate: %s is up to date, skipped (--set force=true redoes it)", stored.run)
    else:
        storage.check_writable()
        stored = evaluate_run(spark, inputs)
        storage.write_bytes(evaluation_path(run, config.split, config.protocol), stored.to_json().encode())
    print_table(comparison_table([stored]))
    return stored


def evaluate_run(spark: SparkSession, inputs: Inputs) -> Evaluation:
    """Checks the split, scores it, and adds everything up; writes nothing."""
    started = time.monotonic()
    counts, rows = _checked_rows(spark, inputs)
    checked = time.monotonic()
    baselines, notes = build_baselines(
        Material(spark, inputs.storage, inputs.prepared, inputs.vocabulary, inputs.config)
    )
    contest = Contest(
        names=(*(run.name for run in inputs.runs), *baselines),
        rankings=(*(run.ranking for run in inputs.runs), *baselines.values()),
        slicer=build_slicer(inputs.vocabulary.train_count, inputs.vocabulary.item_category, _category_names(inputs)),
        top_k=_TOP_K,
    )
    counted = time.monotonic()
    plan, sums = _score(spark, inputs, contest, rows, counts)
    scored = time.monotonic()
    kinds = (MODEL,) * len(inputs.runs) + (BASELINE,) * len(baselines)
    results = ranking_results(
        sums,
        plan,
        contest.names,
        kinds,
        confidence=inputs.config.confidence,
        train_count=inputs.vocabulary.train_count,
        top_k=_TOP_K,
    )
    comparison = None
    if plan.paired and plan.num_replicates:
        comparison = paired_test(sums, plan, results, inputs.runs[1].name)
    return Evaluation(
        run=inputs.runs[0].name,
        model=inputs.runs[0].config.name,
        split=inputs.config.split,
        protocol=inputs.config.protocol,
        setup=describe_setup(inputs, counts),
        results=results,
        slices=slice_results(sums, plan, contest.names, kinds, contest.slicer.slicings),
        comparison=comparison,
        lineage=describe_lineage(inputs),
        notes=notes,
        seconds={
            "checks": round(checked - started, 2),
            "baseline tables": round(counted - checked, 2),
            "scoring and metrics": round(scored - counted, 2),
        },
        recipe=inputs.recipe(),
    )


def describe_setup(inputs: Inputs, counts: SplitCounts) -> dict[str, Any]:
    """What the numbers are numbers of: without it they mean nothing."""
    settings, details = inputs.prepared.settings, inputs.prepared.details
    return {
        "data": inputs.prepared.name,
        "num_users": counts.num_users,
        "num_rows": counts.num_rows,
        "candidates": f"the target and {counts.num_negatives} stored negatives",
        "num_candidates": counts.num_negatives + 1,
        "negative_sampling": settings.get("negative_sampling", "not recorded"),
        "split_method": details.get("split", settings.get("split", "not recorded")),
        "tie_order": details.get("tie_order", settings.get("tie_order", "not recorded")),
        "num_items": inputs.vocabulary.num_items,
        "num_trained_items": inputs.vocabulary.num_trained_items,
        "seed": inputs.seed,
        "ties": "against the target in ranks, half in AUC",
        "group_auc": "AUC within each row, unweighted mean over rows",
        "averages": "means over rows, unweighted",
        "intervals": f"Poisson bootstrap over users, {inputs.config.num_replicates} replicates, "
        f"{inputs.config.confidence:.0%}",
        "candidates_key": digest_of(
            [inputs.prepared.content, inputs.config.split, inputs.config.protocol, inputs.config.max_users]
        ),
    }


def describe_lineage(inputs: Inputs) -> dict[str, Any]:
    """Where the numbers come from: digests, settings, versions and times of every stage behind them."""
    return {
        "prepared": _manifest_summary(inputs.prepared),
        "runs": [_manifest_summary(run.manifest) | {"model": dataclasses.asdict(run.config)} for run in inputs.runs],
        "evaluation": dataclasses.asdict(inputs.config),
        "versions": installed_versions(),
        "evaluated": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
    }


def _manifest_summary(manifest: Manifest) -> dict[str, Any]:
    kept = (
        "stage",
        "name",
        "id",
        "recipe",
        "content",
        "settings",
        "inputs",
        "counts",
        "created",
        "seconds",
        "versions",
    )
    return {key: getattr(manifest, key) for key in kept}


def _checked_rows(spark: SparkSession, inputs: Inputs) -> tuple[SplitCounts, DataFrame]:
    """The rows of the split, once every check has passed."""
    prepared, storage = inputs.prepared, inputs.storage
    where = f"{storage.uri(f'prepared/{prepared.name}')}: sequences/{inputs.config.split}"
    rows = read_table(spark, storage, prepared, f"sequences/{inputs.config.split}", EVALUATION)
    counts = check_rows(rows, where, prepared.details["max_stored_history"], inputs.vocabulary.num_items)
    other = "validation" if inputs.config.split == "test" else "test"
    others = read_table(spark, storage, prepared, f"sequences/{other}", EVALUATION)
    validation, test = (others, rows) if other == "validation" else (rows, others)
    check_validation_before_test(validation, test, where)
    return counts, rows


def _score(
    spark: SparkSession, inputs: Inputs, contest: Contest, rows: DataFrame, counts: SplitCounts
) -> tuple[Plan, Sums]:
    """Scores every row once; everything else is added up from what that left."""
    broadcast = spark.sparkContext.broadcast(contest)
    shards = in_shards(with_user_key(rows), counts.num_rows)
    predictions = build_predictions(shards, broadcast).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        dropped = dropped_bits(counts.num_rows * (1 + counts.num_negatives))
        score_counts = count_scores(predictions, len(contest.names), dropped)
        plan = Plan(
            num_rankings=len(contest.names),
            num_labels=tuple(len(slicing.labels) for slicing in contest.slicer.slicings),
            cutoffs=Cutoffs(inputs.config.ndcg_cutoffs, inputs.config.hit_rate_cutoffs),
            seed=inputs.seed,
            num_replicates=inputs.config.num_replicates,
            paired=inputs.config.compare_to is not None,
            pooled=tuple(auc(each) for each in score_counts),
            shares=tuple(shares(each) for each in score_counts),
            dropped_bits=dropped,
        )
        return plan, add_up(predictions, spark.sparkContext.broadcast(plan))
    finally:
        predictions.unpersist()
        broadcast.unpersist()


def _category_names(inputs: Inputs) -> dict[int, str]:
    table = inputs.prepared.table(CATEGORIES)
    if not table.rows:
        return {}
    index, names = read_names(inputs.storage, table, CATEGORY_INDEX, CATEGORY)
    return dict(zip(index.tolist(), names.to_pylist(), strict=True))
