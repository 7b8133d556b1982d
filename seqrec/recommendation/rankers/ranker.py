"""A ranker in use: candidates, logits of runs and tables in, one score for each candidate out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.events.rows import HistoryRows
from seqrec.events.vocabulary import ITEMS, Vocabulary, read_vocabulary
from seqrec.neighbours.build import NEIGHBOURS, finder_at, settings_of
from seqrec.neighbours.event_days import EventDays
from seqrec.neighbours.finder import Candidates
from seqrec.reranking.learner import FittedModel, read_model
from seqrec.reranking.pair_features import PairFeatures, PairRows
from seqrec.scoring.run import TrainedRun, read_run
from seqrec.scoring.scorer import RunScorer, stored_model

RANKERS, MODEL, CARD, PICTURE = "rankers", "model.txt", "card.json", "importances.png"
_FEW_RUNS = 1  # Models that may stay in memory beside the runs of a ranker: that which finds candidates.


@dataclass(frozen=True)
class RankerInputs:
    """What the features of a ranker are made from; small enough to travel to workers."""

    candidates: Manifest
    prepared: Manifest
    runs: tuple[TrainedRun, ...]
    without: tuple[str, ...]
    num_ranked: int
    pairs_at_once: int
    tensorflow_threads: int


@dataclass(frozen=True)
class StoredRanker:
    """Where a fitted model lies, and what it was fitted on."""

    name: str
    path: str  # Path of the model in the storage.
    learner: str
    features: tuple[str, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> "StoredRanker":
        path = f"{RANKERS}/{manifest.name}/{manifest.id}/{MODEL}"
        return cls(manifest.name, path, manifest.details["learner"], tuple(manifest.details["features"]))


@dataclass(frozen=True)
class PublishedRanker:
    """A ranker and what it is used with; travels to workers."""

    stored: StoredRanker
    inputs: RankerInputs
    digest: str  # Digest of the model and its recipe.


@dataclass(frozen=True)
class CandidateFeatures:
    """Makes the features of a block of users' first candidates."""

    features: PairFeatures
    scorers: tuple[RunScorer, ...]
    num_ranked: int

    def first(self, candidates: Candidates) -> Candidates:
        """The candidates that are put in a new order."""
        return Candidates(candidates.items[:, : self.num_ranked], candidates.sources[:, : self.num_ranked])

    def logits(self, histories: HistoryRows, first: Candidates) -> list[np.ndarray]:
        """float32 [B, M] of every run."""
        return [scorer.scores(histories, first.items) for scorer in self.scorers]

    def build(self, histories: HistoryRows, first: Candidates, logits: Sequence[np.ndarray]) -> PairRows:
        return self.features.build(histories, first, logits)


@dataclass(frozen=True)
class Ranker:
    """Orders candidates by a fitted model."""

    inputs: CandidateFeatures
    model: FittedModel

    def scores(self, histories: HistoryRows, candidates: Candidates) -> np.ndarray:
        """float32 [B, M], higher is better; candidates after the first `num_ranked` follow in the order they have."""
        first = self.inputs.first(candidates)
        return behind(self.first_scores(histories, first, self.inputs.logits(histories, first)), candidates)

    def first_scores(self, histories: HistoryRows, first: Candidates, logits: Sequence[np.ndarray]) -> np.ndarray:
        """float32 [B, M] of the first candidates alone; -inf where there is none."""
        rows = self.inputs.build(histories, first, logits)
        scores = np.full(first.items.shape, -np.inf, np.float32)
        scores[rows.row, rows.column] = self.model.scores(rows.values)
        return scores


def behind(scores: np.ndarray, candidates: Candidates) -> np.ndarray:
    """Scores of all candidates, given those of the first: the others lie below, by one for every place."""
    num_others = candidates.items.shape[1] - scores.shape[1]
    lowest = np.where(np.isfinite(scores), scores, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    lowest = np.where(np.isfinite(lowest), lowest, 0.0)
    others: np.ndarray = lowest - np.arange(1, num_others + 1, dtype=np.float32)
    return np.concatenate([scores, others.astype(np.float32)], axis=1)


def open_features(storage: Storage, inputs: RankerInputs, vocabulary: Vocabulary) -> CandidateFeatures:
    """The tables are mapped; the weights of the runs are read when they first score."""
    path = f"candidates/{inputs.candidates.name}/{inputs.candidates.id}"
    finder = finder_at(storage, path, settings_of(inputs.candidates), vocabulary.item_category)
    kept = len(inputs.runs) + _FEW_RUNS  # None is read again for every block of users.
    scorers = (
        RunScorer(stored_model(storage, run, vocabulary, inputs.tensorflow_threads), inputs.pairs_at_once, kept)
        for run in inputs.runs
    )
    features = PairFeatures(
        tables=finder.tables,
        event_days=EventDays.open(storage, f"{path}/{NEIGHBOURS}"),
        train_count=vocabulary.train_count,
        item_category=vocabulary.item_category,
        runs=tuple(run.name for run in inputs.runs),
        without=frozenset(inputs.without),
    )
    return CandidateFeatures(features, tuple(scorers), inputs.num_ranked)


def open_ranker(storage: Storage, stored: StoredRanker, inputs: RankerInputs, vocabulary: Vocabulary) -> Ranker:
    """A fitted ranker over the candidates of `inputs`.

    Raises:
        DataError: the candidates give other features than those that the ranker was fitted on.
    """
    opened = open_features(storage, inputs, vocabulary)
    names, found = stored.features, opened.features.names
    if names != found:
        missing = [name for name in names if name not in found]
        surplus = [name for name in found if name not in names]
        raise DataError(
            f"ranker '{stored.name}' was fitted on other features than candidates '{inputs.candidates.name}' have now:"
            f"{_listed('missing', missing)}{_listed('new', surplus)}. Use the settings of the candidates that it was "
            "fitted on, or run the job 'rank' again."
        )
    return Ranker(opened, read_model(stored.learner, names, storage.read_bytes(stored.path).decode()))


_OPEN: dict[str, tuple[Ranker, Vocabulary]] = {}  # What this process has opened last, by its paths.


def ranker_of(storage: Storage, stored: StoredRanker, inputs: RankerInputs) -> tuple[Ranker, Vocabulary]:
    """The ranker and the vocabulary of its data, opened once per process; see `open_ranker`."""
    key = f"{storage.uri(stored.path)} {inputs.candidates.name} {inputs.candidates.id} {inputs.candidates.created}"
    if key not in _OPEN:
        _OPEN.clear()
        vocabulary = read_vocabulary(storage, inputs.prepared)
        _OPEN[key] = open_ranker(storage, stored, inputs, vocabulary), vocabulary
    return _OPEN[key]


def published_ranker(storage: Storage, name: str, candidates: Manifest, prepared: Manifest) -> PublishedRanker:
    """
    Raises:
        DataError: the ranker is not there, or does not go with the candidates and the data.
    """
    manifest = read_ranker(storage, name, prepared)
    inputs = ranker_inputs(storage, manifest, candidates, prepared)
    return PublishedRanker(StoredRanker.of(manifest), inputs, manifest.content + manifest.recipe)


def read_ranker(storage: Storage, name: str, prepared: Manifest) -> Manifest:
    """The published ranker of that name.

    Raises:
        DataError: it is not there, or was fitted with another vocabulary than the data has.
    """
    manifest = Dataset(storage, RANKERS, name).require("rank")
    own, others = manifest.details["vocabulary"], prepared.table(ITEMS).content
    if own != others:
        raise DataError(
            f"ranker '{name}' was fitted with another vocabulary ({own}) than the prepared data '{prepared.name}' has "
            f"({others}): prepare the data with the vocabulary of its runs, or run the job 'rank' again."
        )
    return manifest


def ranker_inputs(storage: Storage, manifest: Manifest, candidates: Manifest, prepared: Manifest) -> RankerInputs:
    """The inputs of a published ranker over other candidates than it was fitted on.

    Raises:
        DataError: a run is not there, or has been trained again since; or the candidates are found in another way.
    """
    details = manifest.details
    runs = tuple(read_run(storage, name, prepared) for name in details["runs"])
    for run in runs:
        if run.manifest.content != details["runs"][run.name]:
            raise DataError(
                f"ranker '{manifest.name}' was fitted on the logits of other weights of run '{run.name}' than it has "
                "now: run the job 'rank' again."
            )
    for key, value in details["candidates"].items():
        found = json.loads(json.dumps(found_by(candidates))).get(key)
        if found != value:
            raise DataError(
                f"ranker '{manifest.name}' was fitted on candidates with {key} {value}, but candidates "
                f"'{candidates.name}' have {found}: use the same settings, or run the job 'rank' again."
            )
    return RankerInputs(
        candidates=candidates,
        prepared=prepared,
        runs=runs,
        without=tuple(details["without"]),
        num_ranked=int(details["num_ranked"]),
        pairs_at_once=int(manifest.settings["pairs_at_once"]),
        tensorflow_threads=1,
    )


def found_by(candidates: Manifest) -> dict[str, object]:
    """What must be alike in the candidates that a ranker is fitted on and those that it orders."""
    retrieval = {"weights of the retrieval run": candidates.inputs.get("retrieval")}
    return {key: value for key, value in candidates.settings.items() if key != "histories"} | retrieval


def _listed(word: str, names: list[str]) -> str:
    """A part of a sentence that names a few, with a leading space; empty without names."""
    return f" {word} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}" if names else ""
