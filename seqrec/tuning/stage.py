"""The `tune` stage: searches the settings of one model, writes the best, and reports what they are worth."""

import dataclasses
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from seqrec.core.config import keys_marked, plain, recipe_settings
from seqrec.core.errors import ConfigError
from seqrec.core.machine import usable_cores
from seqrec.core.manifest import Attempt, Dataset, Manifest, Recipe, digest_of
from seqrec.core.stage import StageOutput
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.feed.config import DEFAULT_FEED, FeedConfig
from seqrec.models.config import ModelConfig
from seqrec.models.registry import check_settings
from seqrec.training.checks import check_prepared, train_files_digest, with_metric
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

_LOG = logging.getLogger(__name__)
BEST, REPORT, TRIALS, COMPARISON = "best.yaml", "report.html", "trials.csv", "comparison.json"


@dataclass(frozen=True)
class TuningInputs:
    """Everything that a study is made from."""

    storage: Storage
    name: str  # Name of the prepared data.
    study: str  # Name of the study.
    model: ModelConfig  # With `training`, the default: the settings without tuning.
    training: TrainingConfig
    tuning: TuningConfig
    evaluation: EvaluationConfig
    seed: int  # Seed of every trial's training; the comparison uses those that follow it.
    feed: FeedConfig = DEFAULT_FEED

    @property
    def metric(self) -> str:
        """The validation metric that trials are judged by."""
        return self.tuning.metric or with_metric(self.training, self.model).metric

    def comparison_settings(self) -> dict[str, Any]:
        """What changes the file of the best settings and the comparison, but no trial: the trials can be kept."""
        return {key: getattr(self.tuning, key) for key in keys_marked(TuningConfig, COMPARISON_ONLY)} | {
            "num_epochs": self.training.num_epochs,  # Epochs of a full training; trials may have their own.
            "ndcg_cutoffs": list(self.evaluation.ndcg_cutoffs),
            "hit_rate_cutoffs": list(self.evaluation.hit_rate_cutoffs),
        }


def run_tune(spark: "SparkSession", inputs: TuningInputs, force: bool = False) -> Manifest:
    """Searches on `prepared/<name>` and writes `tuning/<study>`; resumes an earlier attempt that was cut off.

    Trials see the train and validation splits only. The winner and the default (`model` and `training` as given) are
    then trained with other seeds, as runs `<study>-tuned-<seed>` and `<study>-default-<seed>`, and compared on the
    test split.

    Raises:
        SeqrecError: one line about settings, data or storage; or that no trial was trained to its end.
    """
    storage = inputs.storage
    prepared = Dataset(storage, "prepared", inputs.name).require("prepare")
    if inputs.tuning.num_compared_seeds:  # The default is trained at the end, whatever the trials are.
        check_settings(inputs.model)
    check_prepared(prepared, inputs.model, dataclasses.replace(inputs.training, metric=inputs.metric))
    space = build_space(inputs.tuning.parameters(), inputs.model, inputs.training)
    recipe = tuning_recipe(prepared, inputs.model, inputs.training, inputs.tuning, inputs.seed)
    dataset = Dataset(storage, "tuning", inputs.study)
    output = StageOutput(dataset, recipe, force, resumes=inputs.tuning.resume == "auto")
    current = output.current(lambda it: _is_finished(it, inputs), lambda it: f"{it.counts['trials']} trials")
    if current is not None:
        return current
    attempt = _begin(output)
    plan = Search(
        space=space,
        config=inputs.tuning,
        metric=inputs.metric,
        prepared=prepared,
        files=TrialFiles(storage, attempt.path),
        executor=_executor(spark, inputs.tuning),
        num_threads=_num_threads(spark, inputs.tuning),
        seed=inputs.seed,
        feed=inputs.feed,
    )
    found = search(plan)
    best = best_of(found.records)
    assert best is not None
    settings = best_settings(plan, best, len(found.records), inputs.study, inputs.name)
    storage.write_bytes(f"{attempt.path}/{BEST}", settings.encode())
    storage.write_bytes(f"{attempt.path}/{TRIALS}", _trials_csv(found))
    comparison = _compare(spark, inputs, plan, best) if inputs.tuning.num_compared_seeds else None
    return _publish(attempt, inputs, plan, found, settings, comparison)


def tuning_recipe(
    prepared: Manifest, model: ModelConfig, training: TrainingConfig, tuning: TuningConfig, seed: int
) -> Recipe:
    """What decides a study's trials, but not how many there are."""
    base = recipe_settings(with_metric(training, model)) | {"num_epochs": tuning.num_epochs or training.num_epochs}
    settings = {"tuning": recipe_settings(tuning), "model": recipe_settings(model), "training": base, "seed": seed}
    contents = {"prepared": prepared.content, "train_files": train_files_digest(prepared)}
    return Recipe(stage="tune", settings=plain(settings), inputs=contents)


def best_settings(plan: Search, best: TrialRecord, num_trials: int, study: str, name: str) -> str:
    """A YAML that `train` takes as it is: the trial's settings, with the number of epochs of a full training."""
    model, training = plan.space.configs(best.settings)
    training = dataclasses.replace(training, run=f"{study}-best", metric=plan.metric)
    root = plan.files.storage.root
    values = {"workdir": root, "name": name, "seed": plan.seed, "model": model, "training": training}
    head = (
        f"# The best of {num_trials} trials of the study '{study}': trial {best.number + 1}, validation "
        f"{plan.metric} {best.value:.4f} after epoch {best.best_epoch}.\n#\n"
        "#   ./spark-submit.sh train --config THIS_FILE\n#\n"
        + "".join(f"# {key}: {json.dumps(value)}\n" for key, value in best.settings.items())
    )
    return head + "\n" + yaml.safe_dump(plain(values), sort_keys=False)


def _is_finished(manifest: Manifest, inputs: TuningInputs) -> bool:
    has_trials = int(manifest.counts["trials"]) >= inputs.tuning.num_trials
    return has_trials and manifest.details["comparing"] == inputs.comparison_settings()


def _begin(output: StageOutput) -> Attempt:
    """The attempt to write to: the one that was cut off, or a new one with the trials of a shorter study.

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
                "back to resume it, set tuning.resume=never to start over, or name another tuning.study."
            )


def _executor(spark: "SparkSession", tuning: TuningConfig) -> Executor:
    return SparkTasks(spark) if tuning.executor == "spark" else LocalProcesses()


def _num_threads(spark: "SparkSession", tuning: TuningConfig) -> int:
    """TensorFlow threads of a trial, so that all trials at once use the cores that there are."""
    if tuning.executor == "spark":
        return int(spark.sparkContext.getConf().get("spark.task.cpus", "1"))
    return max(1, usable_cores() // tuning.num_parallel)


def _compare(spark: "SparkSession", inputs: TuningInputs, plan: Search, best: TrialRecord) -> "Comparison":
    """Trains winner and default with seeds that no trial has used, and tests the one against the other."""
    from seqrec.tuning.comparison import ComparedRuns, Resampling, compare_runs

    seeds = [plan.seed + number for number in range(1, plan.config.num_compared_seeds + 1)]
    runs: dict[str, list[str]] = {"tuned": [], "default": []}
    for kind, settings in (("tuned", best.settings), ("default", {})):
        model, chosen = plan.space.configs(settings)
        for seed in seeds:
            run = f"{inputs.study}-{kind}-{seed}"
            _LOG.info("tune: training %s", run)
            own = dataclasses.replace(chosen, run=run, metric=plan.metric, dry_run=False)
            run_train(inputs.storage, inputs.name, run, model, own, seed, False, inputs.feed)
            runs[kind].append(run)
    resampling = Resampling(plan.seed, plan.config.num_replicates, plan.config.confidence)
    compared = ComparedRuns(tuple(runs["tuned"]), tuple(runs["default"]), tuple(seeds))
    return compare_runs(spark, inputs.storage, plan.prepared, compared, inputs.evaluation, resampling)


def _trials_csv(found: Study) -> bytes:
    from seqrec.tuning.report import trials_csv

    return trials_csv(found.records)


def _publish(
    attempt: Attempt,
    inputs: TuningInputs,
    plan: Search,
    found: Study,
    best_yaml: str,
    comparison: "Comparison | None",
) -> Manifest:
    from seqrec.tuning.report import comparison_lines, report_page, summary_line

    storage, records, best = attempt.storage, found.records, best_of(found.records)
    assert best is not None
    page = report_page(inputs.study, found, plan.space, plan.metric, best_yaml, comparison)
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
        "comparing": inputs.comparison_settings(),
        "comparison": compared,
    }
    content = digest_of([[r.drawn, r.state, r.best_values] for r in records])
    manifest = attempt.publish(counts=counts, details=details, content=content)
    _LOG.info("tune: %s", summary_line(records))
    for line in comparison_lines(comparison) if comparison else []:
        print(line)
    _LOG.info("tune: best settings in %s", attempt.uri(BEST))
    _LOG.info("tune: report in %s", attempt.uri(REPORT))
    return manifest
