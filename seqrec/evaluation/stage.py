"""The evaluate stage: scores one split of prepared data with a run and the baselines, and writes the numbers."""

import dataclasses
import logging
import time

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from seqrec.core.console import print_table
from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset
from seqrec.core.stage import log_skipped
from seqrec.core.storage import Storage
from seqrec.evaluation.checks import RowCounts, check_rows, check_validation_before_test, keep_some_users
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.importance.measure import update_importance
from seqrec.evaluation.lineage import FULL, EvaluationInputs, describe_lineage, describe_setup
from seqrec.evaluation.rankings.baseline_tables import BaselineInputs, build_baselines
from seqrec.evaluation.rankings.catalogue import read_catalogue, read_category_names
from seqrec.evaluation.rankings.model_ranking import ranker_of_run
from seqrec.evaluation.rankings.predictions import build_predictions, in_shards, with_user_key
from seqrec.evaluation.rankings.ranker import ComparedRankers
from seqrec.evaluation.report.report import write_report
from seqrec.evaluation.results import (
    BASELINE,
    MODEL,
    Evaluation,
    comparison_table,
    evaluation_path,
    read_evaluation,
)
from seqrec.evaluation.statistics.aggregates import Plan, add_up, count_scores
from seqrec.evaluation.statistics.exact_sums import Sums
from seqrec.evaluation.statistics.measure import paired_test, ranker_results, slice_results, with_correction
from seqrec.evaluation.statistics.score_bins import auc, dropped_bits, shares
from seqrec.evaluation.statistics.slices import build_slicer
from seqrec.events.vocabulary import read_vocabulary
from seqrec.feed.config import DEFAULT_FEED, FeedConfig
from seqrec.scoring.run import read_run
from seqrec.tables.files import read_table
from seqrec.tables.prepared_schemas import EVALUATION
from seqrec.tables.sessions import fitted_shuffles

_LOG = logging.getLogger(__name__)
_STORED_SHARD = 4096  # Rows of a task that scores stored candidates.
_FULL_SHARD = 512  # Rows of a task that scores the whole catalogue for each.
_LARGE_WEIGHTS = 2**30  # Bytes of weights in each worker, above which a warning is logged.
# Cutoff of coverage, popularity and novelty. With few candidates it is a fifth of them, else nearly all would count.
_TOP_K = 10


def current_evaluation(
    storage: Storage,
    name: str,
    run: str,
    config: EvaluationConfig,
    seed: int,
    force: bool = False,
    feed: FeedConfig = DEFAULT_FEED,
) -> Evaluation | None:
    """The evaluation of `runs/<run>`, if it is up to date; its report is written and its table printed again."""
    evaluation = read_evaluation(storage, run, config.split, config.protocol)
    if evaluation is None or force:
        return None
    inputs = _read_inputs(storage, name, run, config, seed)
    if evaluation.recipe != inputs.recipe():
        return None
    log_skipped("evaluate", run)
    _report(inputs, evaluation, feed)
    return evaluation


def run_evaluate(
    spark: SparkSession,
    storage: Storage,
    name: str,
    run: str,
    config: EvaluationConfig,
    seed: int,
    force: bool = False,
    feed: FeedConfig = DEFAULT_FEED,
) -> Evaluation:
    """Evaluates `runs/<run>` on the split `config.split` of `prepared/<name>`, unless that is up to date.

    Writes `runs/<run>/evaluations/<split>-<protocol>.json` and `report.html`, and prints the table.

    Raises:
        DataError: the run or the data is not there, they do not belong together, or the split leaks.
    """
    if (current := current_evaluation(storage, name, run, config, seed, force, feed)) is not None:
        return current
    inputs = _read_inputs(storage, name, run, config, seed)
    storage.check_writable()
    # The baselines' tables come from all training events.
    with fitted_shuffles(spark, sum(table.rows for table in inputs.prepared.tables.values())):
        evaluation = evaluate_run(spark, inputs)
    steps = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in evaluation.seconds.items())
    _LOG.info("evaluate: %s rows: %s", f"{evaluation.setup['num_rows']:,}", steps)
    storage.write_bytes(evaluation_path(run, config.split, config.protocol), evaluation.to_json().encode())
    _report(inputs, evaluation, feed)
    return evaluation


def _read_inputs(storage: Storage, name: str, run: str, config: EvaluationConfig, seed: int) -> EvaluationInputs:
    prepared = Dataset(storage, "prepared", name).require("prepare")
    names = [run] if config.compare_to in (None, run) else [run, config.compare_to]
    return EvaluationInputs(
        storage=storage,
        prepared=prepared,
        vocabulary=read_vocabulary(storage, prepared),
        runs=tuple(read_run(storage, each, prepared) for each in names),
        config=config,
        seed=seed,
    )


def _report(inputs: EvaluationInputs, evaluation: Evaluation, feed: FeedConfig) -> None:
    config, run = inputs.config, inputs.runs[0]
    if config.importance_rows:
        update_importance(inputs.storage, run, inputs.prepared, config.importance_rows, inputs.seed, feed)
    if config.report:
        _LOG.info("evaluate: report in %s", write_report(inputs.storage, run.name, config.report_runs))
    print_table(comparison_table([evaluation]))


def evaluate_run(spark: SparkSession, inputs: EvaluationInputs) -> Evaluation:
    """Checks the split, scores it, and adds everything up; writes nothing."""
    clock = [time.monotonic()]
    counts, rows = _checked_rows(spark, inputs)
    clock.append(time.monotonic())
    compared, notes = _compared_rankers(spark, inputs, counts)
    clock.append(time.monotonic())
    plan, sums = _score(spark, inputs, compared, rows, counts)
    if compared.catalogue is not None:
        counts, more_notes = _ranked_rows(inputs, counts, sums)
        notes += more_notes
    clock.append(time.monotonic())
    kinds = (MODEL,) * len(inputs.runs) + (BASELINE,) * (len(compared.names) - len(inputs.runs))
    results = ranker_results(
        sums,
        plan,
        compared.names,
        kinds,
        confidence=inputs.config.confidence,
        train_count=inputs.vocabulary.train_count,
        top_k=compared.top_k,
    )
    setup = describe_setup(inputs, counts, compared.catalogue)
    if compared.catalogue is None:
        notes += inputs.prepared.details.get("warnings", [])
    if setup["negative_sampling"] == "uniform":
        results = with_correction(sums, plan, results, counts.num_negatives, inputs.vocabulary.num_items)
    steps = ("checks", "baseline tables", "scoring and metrics")
    return Evaluation(
        run=inputs.runs[0].name,
        model=inputs.runs[0].config.name,
        split=inputs.config.split,
        protocol=inputs.config.protocol,
        setup=setup,
        results=results,
        slices=slice_results(sums, plan, compared.names, kinds, compared.slicer.slicings),
        comparison=paired_test(sums, plan, results) if plan.paired else None,
        lineage=describe_lineage(inputs),
        notes=notes,
        seconds={step: round(clock[i + 1] - clock[i], 2) for i, step in enumerate(steps)},
        recipe=inputs.recipe(),
    )


def _checked_rows(spark: SparkSession, inputs: EvaluationInputs) -> tuple[RowCounts, DataFrame]:
    """The rows of the split, once every check has passed; in the full protocol those of at most `max_users` users."""
    prepared, storage, config = inputs.prepared, inputs.storage, inputs.config
    where = f"{storage.uri(f'prepared/{prepared.name}')}: sequences/{config.split}"
    splits = {
        split: read_table(spark, storage, prepared, f"sequences/{split}", EVALUATION)
        for split in ("validation", "test")
    }
    rows = splits[config.split]
    max_stored_history, num_items = prepared.details["max_stored_history"], inputs.vocabulary.num_items
    counts = check_rows(rows, where, max_stored_history, num_items)
    check_validation_before_test(splits["validation"], splits["test"], where)
    if config.protocol == FULL and counts.num_users > config.max_users:
        rows = keep_some_users(rows, config.max_users, inputs.seed)
        counts = check_rows(rows, where, max_stored_history, num_items)
    return counts, rows


def _warn_of_size(inputs: EvaluationInputs) -> None:
    """Warns if models are large: each Python worker holds them all, so a machine may need fewer workers than cores."""
    sizes = {file.path: file.size for run in inputs.runs for file in inputs.storage.list_files(run.path)}
    weights = sum(sizes.get(run.weights, 0) for run in inputs.runs)
    if weights > _LARGE_WEIGHTS:
        _LOG.warning(
            "evaluate: each Python worker holds %d MB of weights. If memory is short, run fewer on a machine: "
            "evaluation.spark: {spark.task.cpus: 2} or more.",
            weights // 2**20,
        )


def _compared_rankers(
    spark: SparkSession, inputs: EvaluationInputs, counts: RowCounts
) -> tuple[ComparedRankers, list[str]]:
    """The runs and the baselines to compare, and a note for each baseline that is missing."""
    _warn_of_size(inputs)
    is_full = inputs.config.protocol == FULL
    vocabulary = inputs.vocabulary
    data = (inputs.storage, inputs.prepared, vocabulary, inputs.config)
    baselines, notes = build_baselines(BaselineInputs(spark, *data))
    names = read_category_names(inputs.storage, inputs.prepared)
    compared = ComparedRankers(
        names=(*(run.name for run in inputs.runs), *baselines),
        rankers=(*(ranker_of_run(inputs.storage, run, inputs.config) for run in inputs.runs), *baselines.values()),
        slicer=build_slicer(vocabulary.train_count, vocabulary.item_category, names),
        top_k=_TOP_K if is_full else max(1, min(_TOP_K, (1 + counts.num_negatives) // 5)),
        catalogue=read_catalogue(spark, *data, inputs.runs) if is_full else None,
    )
    return compared, notes


def _score(
    spark: SparkSession, inputs: EvaluationInputs, compared: ComparedRankers, rows: DataFrame, counts: RowCounts
) -> tuple[Plan, Sums]:
    """Scores every row once, and adds up the predictions."""
    broadcast = spark.sparkContext.broadcast(compared)
    shards = in_shards(
        with_user_key(rows), counts.num_rows, _STORED_SHARD if compared.catalogue is None else _FULL_SHARD
    )
    predictions = build_predictions(shards, broadcast).persist(StorageLevel.MEMORY_AND_DISK)
    plan = Plan(
        num_rankers=len(compared.names),
        num_labels=tuple(len(slicing.labels) for slicing in compared.slicer.slicings),
        cutoffs=inputs.config.cutoffs,
        seed=inputs.seed,
        num_replicates=inputs.config.num_replicates,
        paired=len(inputs.runs) > 1 and inputs.config.num_replicates > 0,
    )
    try:
        # Predictions are made in a job of their own. In one task with the sums they would need two Python workers for
        # each core, and Spark gives a task any idle worker, so that in the end all of them would load the models.
        predictions.count()
        if compared.catalogue is None:
            plan = _with_pooled_auc(plan, predictions, counts)
        return plan, add_up(predictions, spark.sparkContext.broadcast(plan))
    finally:
        predictions.unpersist()
        broadcast.unpersist()


def _ranked_rows(inputs: EvaluationInputs, counts: RowCounts, sums: Sums) -> tuple[RowCounts, list[str]]:
    """The counts of the rows that the full protocol ranked, and a note on those whose target has no competitor.

    Raises:
        DataError: no target has one.
    """
    num_rows, num_users = int(sums.dense("rows", -1, (1,))[0]), len(sums.sparse("users")[0])
    if not num_rows:
        where = inputs.storage.uri(f"prepared/{inputs.prepared.name}")
        by_group = inputs.config.full_candidates == "group"
        raise DataError(
            f"{where}: sequences/{inputs.config.split}: none of the {counts.num_rows} targets has an item to compete "
            f"with. Use {'evaluation.full_candidates=all, or ' if by_group else ''}evaluation.protocol=sampled."
        )
    left_out = counts.num_rows - num_rows
    if not left_out:
        return counts, []
    among = "its main group" if inputs.config.full_candidates == "group" else "the catalogue"
    note = (
        f"{left_out:,} of {counts.num_rows:,} rows are left out of all numbers: their target has nothing to compete "
        f"with, for {among} holds no other item that is not in the stored history."
    )
    return dataclasses.replace(counts, num_rows=num_rows, num_users=num_users), [note]


def _with_pooled_auc(plan: Plan, predictions: DataFrame, counts: RowCounts) -> Plan:
    """The plan with the pooled AUC, and what its intervals need. Only the sampled protocol keeps all scores for it."""
    dropped = dropped_bits(counts.num_rows * (1 + counts.num_negatives))
    by_ranker = count_scores(predictions, plan.num_rankers, dropped)
    return dataclasses.replace(
        plan,
        pooled=tuple(auc(each) for each in by_ranker),
        shares=tuple(shares(each) for each in by_ranker) if plan.num_replicates else None,
        dropped_bits=dropped,
    )
