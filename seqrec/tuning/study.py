"""Has Optuna choose the next trial's settings, and decide whether a trial continues. Everything is kept in memory only.

The study is rebuilt from the trial files, and each trial is drawn by a sampler of its own, seeded with the trial's
number. So a study that was cut off continues with exactly the trials that it would have had.
"""

import dataclasses
import hashlib
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import optuna

from seqrec.tuning.config import PruningConfig, SamplerConfig, TuningConfig
from seqrec.tuning.search_space import Parameter, SearchSpace, assignments, label_of, value_at
from seqrec.tuning.trial_records import DONE, FAILED, PRUNED, RUNNING, TrialRecord

_LEAST_FOR_IMPORTANCE = 6  # Number of trials; with fewer the shares mean nothing.
_STATES = {
    RUNNING: optuna.trial.TrialState.RUNNING,
    DONE: optuna.trial.TrialState.COMPLETE,
    PRUNED: optuna.trial.TrialState.PRUNED,
    FAILED: optuna.trial.TrialState.FAIL,
}


class Study:
    """The trials so far. Every metric is better if it is higher."""

    def __init__(self, space: SearchSpace, config: TuningConfig, records: Sequence[TrialRecord]):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("optuna").propagate = False
        self.records = list(records)
        self._space = space
        self._config = config
        self._study = optuna.create_study(direction="maximize", pruner=_pruner(config.pruning))
        for record in self.records:
            self._study.add_trial(_frozen(record))

    def draw(self) -> TrialRecord:
        """Draws the next trial."""
        number = len(self.records)
        self._study.sampler = _sampler(self._config.sampler, number)
        if number == 0 and self._config.include_default:
            self._study.enqueue_trial(default_draws(self._space))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A range that its step does not divide ends at the last step.
            trial = self._study.ask()
            values: dict[str, Any] = {}
            for parameter in self._space.parameters:
                if self._space.is_open(parameter, values):
                    values[parameter.name] = parameter.value(_suggest(trial, parameter))
        drawn = self._study.trials[number]
        record = TrialRecord(
            number=number,
            state=RUNNING,
            drawn=dict(drawn.params),
            distributions={n: optuna.distributions.distribution_to_json(d) for n, d in drawn.distributions.items()},
            settings=assignments(values),
        )
        self.records.append(record)
        return record

    def goes_on(self, record: TrialRecord) -> bool:
        """Whether a trial is worth another epoch, by the best metric up to its last one."""
        trial = self._trial(record)
        assert record.value is not None
        trial.report(record.value, step=len(record.rows))
        prune = trial.should_prune()
        record.rungs = {k: v for k, v in trial.storage.get_trial_system_attrs(trial._trial_id).items() if "rung" in k}
        return not prune

    def end(self, record: TrialRecord) -> None:
        """Records how a trial ended."""
        if record.state == DONE:
            self._study.tell(record.number, record.value)
        else:
            self._study.tell(record.number, state=_STATES[record.state])

    def importances(self) -> dict[str, float]:
        """How much each entry matters for a trial to be good (PED-ANOVA): shares of 1, greatest first.

        The result is empty if there are too few trials. A pruned trial counts with the best metric that it reached:
        that puts it among the bad ones, which is enough.
        """
        judged = [record for record in self.records if record.state in (DONE, PRUNED) and record.value is not None]
        if len(judged) < _LEAST_FOR_IMPORTANCE:
            return {}
        study = optuna.create_study(direction="maximize")
        for record in judged:
            study.add_trial(_frozen(dataclasses.replace(record, state=DONE, rows=[], rungs={})))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    def _trial(self, record: TrialRecord) -> optuna.trial.Trial:
        return optuna.trial.Trial(self._study, self._study.trials[record.number]._trial_id)


def default_draws(space: SearchSpace) -> dict[str, Any]:
    """The draws that give the settings without tuning, as far as these lie in the space: entry -> number or label."""
    draws: dict[str, Any] = {}
    for parameter in space.parameters:
        config = parameter.config
        current = {key: value_at(space.base, key) for key in parameter.keys}
        if config.choices is not None:
            for choice in config.choices:
                if assignments({parameter.name: choice}) == current:
                    draws[parameter.name] = label_of(choice)
            continue
        value = current[parameter.name]
        number = value[0] if config.repeat is not None and isinstance(value, list) and len(set(value)) == 1 else value
        if isinstance(number, int | float) and _is_drawable(parameter, number):
            draws[parameter.name] = number
    return draws


def _is_drawable(parameter: Parameter, number: float) -> bool:
    """Whether a number lies in the range and on its grid; otherwise Optuna would use another, and fail at the end."""
    config = parameter.config
    assert config.low is not None
    assert config.high is not None
    if not config.low <= number <= config.high:
        return False
    step = int(config.step or 1) if parameter.is_whole else config.step
    if step is None:
        return True
    steps = (number - config.low) / step
    return abs(steps - round(steps)) < 1e-8


def _suggest(trial: optuna.trial.Trial, parameter: Parameter) -> Any:
    config = parameter.config
    if config.choices is not None:
        return trial.suggest_categorical(parameter.name, [label_of(choice) for choice in config.choices])
    assert config.low is not None
    assert config.high is not None
    if parameter.is_whole:
        step = int(config.step or 1)
        return trial.suggest_int(parameter.name, int(config.low), int(config.high), step=step, log=config.log)
    return trial.suggest_float(parameter.name, config.low, config.high, step=config.step, log=config.log)


def _sampler(config: SamplerConfig, number: int) -> optuna.samplers.BaseSampler:
    seed = int.from_bytes(hashlib.sha256(f"{config.seed}/{number}".encode()).digest()[:4], "big")
    if config.name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=config.num_startup_trials, constant_liar=True)


def _pruner(config: PruningConfig) -> optuna.pruners.BasePruner:
    if not config.enabled:
        return optuna.pruners.NopPruner()
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=config.min_epochs, reduction_factor=config.reduction_factor, min_early_stopping_rate=0
    )


def _frozen(record: TrialRecord) -> optuna.trial.FrozenTrial:
    """A trial in the form that Optuna knows: its steps are epochs, its values the best metric up to each."""
    return optuna.trial.create_trial(
        state=_STATES[record.state],
        value=record.value if record.state == DONE else None,
        params=record.drawn,
        distributions={n: optuna.distributions.json_to_distribution(text) for n, text in record.distributions.items()},
        system_attrs=record.rungs,
        intermediate_values=dict(enumerate(record.best_values, start=1)),
    )
