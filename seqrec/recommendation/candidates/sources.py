"""All sources of candidates together: the neighbours of a history's items, and the best items by a retrieval run.

The stage and the recommender find candidates with the same class, so both find the same ones for a history.
"""

from dataclasses import dataclass

import numpy as np

from seqrec.core.errors import DataError
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.events.rows import HistoryRows
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.registry import RETRIEVAL_MODELS, family_of
from seqrec.neighbours.build import finder_at, settings_of
from seqrec.neighbours.config import RETRIEVAL, CandidatesConfig
from seqrec.neighbours.finder import CandidateFinder, Candidates, row_keys
from seqrec.scoring.run import TrainedRun, read_run
from seqrec.scoring.scorer import RunScorer, stored_model

_THREADS = 1  # Of TensorFlow: Spark already runs one worker per core.


@dataclass(frozen=True)
class Retriever:
    """Finds the best items of the whole catalogue by the product of state and item vector."""

    scorer: RunScorer
    num_candidates: int  # Items found for each history.
    exclude_own_items: bool

    def find(self, histories: HistoryRows) -> np.ndarray:
        """int64 keys of `row_keys`, in order of row and place; none where the run knows no item of the history."""
        rows = np.flatnonzero(self.scorer.knows(histories))
        if not len(rows):
            return np.zeros(0, np.int64)
        known = histories.take(rows)
        items, _ = self.scorer.best_of_catalogue(known, self.num_candidates, self.exclude_own_items)
        return row_keys(rows[:, None], items)[items > 0]


@dataclass(frozen=True)
class CandidateSources:
    """Finds each history's candidates in all sources that the settings name."""

    finder: CandidateFinder
    retriever: Retriever | None  # None without a retrieval run.

    @property
    def exclude_own_items(self) -> bool:
        return self.finder.exclude_own_items

    def find(self, histories: HistoryRows) -> Candidates:
        """The merged candidates of at most `MAX_ROWS` histories."""
        return self.merge(self.lists(histories), len(histories))

    def lists(self, histories: HistoryRows) -> dict[str, np.ndarray]:
        """Each source's list for every user: int64 keys of `row_keys`, in order of row and place."""
        lists = self.finder.lists(histories)
        return lists if self.retriever is None else {**lists, RETRIEVAL: self.retriever.find(histories)}

    def merge(self, lists: dict[str, np.ndarray], num_rows: int) -> Candidates:
        """The best candidates of all lists; an item in several lists takes the best of its places."""
        return self.finder.merge(lists, num_rows)


def read_retrieval_run(
    storage: Storage, name: str | None, histories: str, prepared: Manifest, key: str = "candidates.retrieval_run"
) -> TrainedRun | None:
    """The retrieval run of that name; None without a name.

    Args:
        histories: those that lists are found for.
        key: the setting that names the run, for errors.

    Raises:
        DataError: the run is not there or not finished, is of a ranking model, has another vocabulary than the data, or
            measured candidates are wanted and the run was trained on other data.
    """
    if name is None:
        return None
    run = read_run(storage, name, prepared)
    if family_of(run.config.name) != "retrieval":
        raise DataError(
            f"{key}: run '{run.name}' is of '{run.config.name}', a ranking model. Name a run of "
            f"{' or '.join(RETRIEVAL_MODELS)}."
        )
    trained_on = run.manifest.inputs.get("prepared")
    if histories != "latest" and trained_on != prepared.content:
        raise DataError(
            f"{key}: run '{run.name}' was trained on other data ({trained_on}) than prepared "
            f"'{prepared.name}' ({prepared.content}), so it may know the {histories} targets: train it on that data, "
            f"or use {key.partition('.')[0]}.histories=latest."
        )
    return run


def sources_at(
    storage: Storage, path: str, config: CandidatesConfig, run: TrainedRun | None, vocabulary: Vocabulary
) -> CandidateSources:
    """The sources whose arrays lie below `path`, and the run; its weights are read when candidates are first found."""
    finder = finder_at(storage, path, config, vocabulary.item_category)
    if run is None:
        return CandidateSources(finder, None)
    # A ranking run may be in use beside this one: neither is to be read again for every batch.
    scorer = RunScorer(stored_model(storage, run, vocabulary, _THREADS), num_kept=2)
    return CandidateSources(finder, Retriever(scorer, config.max_candidates, config.exclude_own_items))


def open_sources(
    storage: Storage, candidates: Manifest, run: TrainedRun | None, vocabulary: Vocabulary
) -> CandidateSources:
    """The sources of published candidates; `run` is what `published_run` gives."""
    path = f"candidates/{candidates.name}/{candidates.id}"
    return sources_at(storage, path, settings_of(candidates), run, vocabulary)


def published_run(storage: Storage, candidates: Manifest, prepared: Manifest) -> TrainedRun | None:
    """The retrieval run that published candidates were found by; None if they were found without one.

    Raises:
        DataError: the run is not there any more, or has been trained again since.
    """
    if candidates.settings.get("retrieval_run") is None:
        return None
    config = settings_of(candidates)
    run = read_retrieval_run(storage, config.retrieval_run, config.histories, prepared)
    if run is not None and run.manifest.content != candidates.inputs[RETRIEVAL]:
        raise DataError(
            f"candidates '{candidates.name}' were found by other weights of run '{run.name}' than it has now: "
            "run the job 'candidates' again."
        )
    return run
