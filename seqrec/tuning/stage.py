"""The tune stage: searches settings of one model, writes the best, and says what it is worth."""

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

import yaml

from seqrec.core.config import keys_marked, plain, recipe_settings
from seqrec.core.errors import ConfigError
from seqrec.core.manifest import Attempt, Dataset, Manifest, Recipe, digest_of
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.models.config import ModelConfig
from seqrec.models.registry import check_settings
from seqrec.training.checks import check_prepared, train_files_digest
from seqrec.training.config import TrainingConfig
from seqrec.training.stage import run_train
from seqrec.tuning.config import COMPARISON_ONLY, TuningConfig
from seqrec.tuning.executors import Executor, LocalProcesses, SparkTasks
from seqrec.tuning.search import Search, search
from seqrec.tuning.space_checks import build_space
from seqrec.tuning.study import Study
from seqrec.tuning.trial_records import PRUNED, TrialFiles, TrialRecord, best_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from seqrec.tuning.comparison import Comparison

BEST, REPORT, TRIALS, COMPARISON = "best.yaml", "report.html", "trials.csv", "comparison.json"


def run_tune(
    spark: "SparkSession",
    storage: Storage,
    name: str,
    study: str,
    model: ModelConfig,
    training: TrainingConfig,
    tuning: TuningConfig,
    evaluation: EvaluationConfig,
    seed: int,
    force: bool = False,
) -> Manifest:
    """Searches on `prepared/<name>` and writes `tuning/<study>`; goes on where an earlier attempt was cut off.

    Trials see the train and validation splits only. The winner and the default (`model` and `training` as given) are
    then trained with other seeds, as runs `<study>-tuned-<seed>` and `<study>-default-<seed>`, and compared on the
    test split.

    Raises:
        SeqrecError: one line about settings, data or storage; or that no trial came to its end.
    """
    prepared = Dataset(storage, "prepared", name).require("prepare")
    if tuning.num_compared_seeds:  # Trained at the end, whatever is drawn before.
        check_settings(model)
    metric = tuning.metric or training.metric
    check_prepared(prepared, model, dataclasses.replace(training, metric=metric))
    space = build_space(tuning.parameters(), model, training)
    recipe = tuning_recipe(prepared, model, training, tuning, seed)
    output = StageOutput(Dataset(storage, "tuning", study), recipe, force, resumes=tuning.resume == "auto")
    comparing = _comparing(tuning, training, evaluation)
    current = output.current(lambda it: _is_finished(it, tuning, comparing), lambda it: f"{it.counts['trials']} trials")
    if current is not None:
        return current
    attempt = _begin(output)
    plan = Search(
        space=space,
        config=tuning,
        metric=metric,
        prepared=prepared,
        files=TrialFiles(storage, attempt.path),
        executor=_executor(spark, tuning),
        num_threads=_threads(spark, tuning),
        seed=seed,
    )
    found = search(plan)
    best = best_of(found.records)
    assert best is not None
    settings = best_settings(plan, best, len(found.records), study, name)
    storage.write_bytes(f"{attempt.path}/{BEST}", settings.encode())
    storage.write_bytes(f"{attempt.path}/{TRIALS}", _trials(found))
    comparison = _compare(spark, plan, best, study, training, evaluation) if tuning.num_compared_seeds else None
    return _publish(attempt, plan, found, best, settings, comparison, comparing, study)


def tuning_recipe(
    prepared: Manifest, model: ModelConfig, training: TrainingConfig, tuning: TuningConfig, seed: int
) -> Recipe:
    """What decides a study's trials, but not how many there are."""
    base = recipe_settings(training) | {"num_epochs": tuning.num_epochs or training.num_epochs}
    settings = {"tuning": recipe_settings(tuning), "model": model, "training": base, "seed": seed}
    inputs = {"prepared": prepared.content, "train_files": train_files_digest(prepared)}
    return Recipe(stage="tune", settings=plain(settings), inputs=inputs)


def best_settings(plan: Search, best: TrialRecord, num_trials: int, study: str, name: str) -> str:
    """A YAML that `train` takes as it is: the trial's settings, with the number of epochs of a full training."""
    model, training = plan.space.configs(best.settings)
    training = dataclasses.replace(training, run=f"{study}-best", metric=plan.metric)
    root = plan.files.storage.root
    values = {"workdir": root, "name": name, "seed": plan.seed}
    values |= {"model": dataclasses.asdict(model), "training": dataclasses.asdict(training)}
    head = (
        f"# The best of {num_trials} trials of the study '{study}': trial {best.number + 1}, validation "
        f"{plan.metric} {best.value:.4f} after epoch {best.best_epoch}.\n#\n"
        "#   ./spark-submit.sh train --config THIS_FILE\n#\n"
        + "".join(f"# {key}: {json.dumps(value)}\n" for key, value in best.settings.items())
    )
    return head + "\n" + yaml.safe_dump(plain(values), sort_keys=False)


def _is_finished(manifest: Manifest, tuning: TuningConfig, comparing: dict[str, Any]) -> bool:
    return int(manifest.counts["trials"]) >= tuning.num_trials and manifest.details["comparing"] == comparing


def _comparing(tuning: TuningConfig, training: TrainingConfig, evaluation: EvaluationConfig) -> dict[str, Any]:
    """What changes the best setting's file and the comparison, but no trial: with another the trials stay."""
    return {key: getattr(tuning, key) for key in keys_marked(TuningConfig, COMPARISON_ONLY)} | {
        "num_epochs": training.num_epochs,  # Of a full training; trials may have their own.
        "ndcg_cutoffs": list(evaluation.ndcg_cutoffs),
        "hit_rate_cutoffs": list(evaluation.hit_rate_cutoffs),
    }


def _begin(output: StageOutput) -> Attempt:
    """The attempt to write in: the one that was cut off, or a new one with the trials of a shorter study.

    Raises:
        ConfigError: trials of a study with other settings would be deleted without a question.
    """
    dataset, earlier = output.dataset, output.earlier
    if output.resumes and not output.force:
        _refuse_other_settings(output)
    attempt = output.begin()
    if output.resumes and earlier is not None:
        finished = TrialFiles(dataset.storage, f"{dataset.path}/{earlier.id}")
        TrialFiles(dataset.storage, attempt.path).copy_finished(finished)
    return attempt


def _refuse_other_settings(output: StageOutput) -> None:
    dataset = output.dataset
    for attempt_id in output.other_attempts():
        over = [r for r in TrialFiles(dataset.storage, f"{dataset.path}/{attempt_id}").read_all() if r.is_over]
        if over:
            raise ConfigError(
                f"Study '{dataset.name}' was cut off after {len(over)} trials with other settings or data. Set these "
                "back to go on with it, set tuning.resume=never to start over, or name another tuning.study."
            )


def _executor(spark: "SparkSession", tuning: TuningConfig) -> Executor:
    return SparkTasks(spark) if tuning.executor == "spark" else LocalProcesses()


def _threads(spark: "SparkSession", tuning: TuningConfig) -> int:
    if tuning.executor == "spark":
        return int(spark.sparkContext.getConf().get("spark.task.cpus", "1"))
    return max(1, len(os.sched_getaffinity(0)) // tuning.num_parallel)


def _compare(
    spark: "SparkSession",
    plan: Search,
    best: TrialRecord,
    study: str,
    training: TrainingConfig,
    evaluation: EvaluationConfig,
) -> "Comparison":
    """Trains winner and default with seeds that no trial has used, and tests the one against the other."""
    from seqrec.tuning.comparison import compare_runs

    storage, prepared = plan.files.storage, plan.prepared
    seeds = [plan.seed + number for number in range(1, plan.config.num_compared_seeds + 1)]
    runs: dict[str, list[str]] = {"tuned": [], "default": []}
    for kind, settings in (("tuned", best.settings), ("default", {})):
        model, chosen = plan.space.configs(settings)
        for seed in seeds:
            run = f"{study}-{kind}-{seed}"
            print(f"tune: training {run}")
            own = dataclasses.replace(chosen, run=run, metric=plan.metric, dry_run=False)
            run_train(storage, prepared.name, run, model, own, seed, False)
            runs[kind].append(run)
    return compare_runs(
        spark,
        storage,
        prepared,
        runs["tuned"],
        runs["default"],
        seeds,
        evaluation,
        seed=plan.seed,
        num_replicates=plan.config.num_replicates,
        confidence=plan.config.confidence,
    )


def _trials(found: Study) -> bytes:
    from seqrec.tuning.report import trials_csv

    return trials_csv(found.records)


def _publish(
    attempt: Attempt,
    plan: Search,
    found: Study,
    best: TrialRecord,
    settings: str,
    comparison: "Comparison | None",
    comparing: dict[str, Any],
    study: str,
) -> Manifest:
    from seqrec.tuning.report import comparison_lines, report_page, summary_line

    storage, records = attempt.storage, found.records
    page = report_page(study, found, plan.space, plan.metric, settings, comparison)
    storage.write_bytes(f"{attempt.path}/{REPORT}", page.encode())
    compared: dict[str, Any] | None = None if comparison is None else comparison.to_json_values()
    if compared is not None:
        storage.write_bytes(f"{attempt.path}/{COMPARISON}", (json.dumps(compared, indent=1) + "\n").encode())
    counts = {"trials": len(records)} | {
        state: sum(r.state == state for r in records) for state in sorted({r.state for r in records})
    }
    counts["epochs"], counts["pruned"] = sum(len(r.rows) for r in records), counts.get(PRUNED, 0)
    details = {
        "metric": plan.metric,
        "best": {"trial": best.number, "value": best.value, "epoch": best.best_epoch, "settings": best.settings},
        "files": {"best": BEST, "report": REPORT, "trials": TRIALS, "comparison": COMPARISON if compared else None},
        "comparing": comparing,
        "comparison": compared,
    }
    content = digest_of([[r.drawn, r.state, r.best_values] for r in records])
    manifest = attempt.publish(counts=counts, details=details, content=content)
    print(f"tune: {summary_line(records)}")
    for line in comparison_lines(comparison) if comparison else []:
        print(line)
    print(f"tune: best setting in {attempt.uri(BEST)}\ntune: report in {attempt.uri(REPORT)}")
    return manifest
