"""One file of histories to one file of lists, in a Spark worker; memory holds one batch of users."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from seqrec.core import columns as C
from seqrec.core.local_copies import map_array
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.events.histories import read_histories
from seqrec.events.rows import UserHistories
from seqrec.events.vocabulary import Vocabulary
from seqrec.neighbours.build import NEIGHBOURS
from seqrec.neighbours.finder import Candidates
from seqrec.recommendation.candidates.sources import open_sources
from seqrec.recommendation.candidates.stored import read_with_candidates
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.changed_users import read_changed_users
from seqrec.recommendation.lists.item_names import ItemNames
from seqrec.recommendation.lists.recommender import LIST_SOURCES, Lists, Recommender
from seqrec.recommendation.lists.users import keep_users
from seqrec.recommendation.rankers.ranker import PublishedRanker, ranker_of
from seqrec.recommendation.rules.figures import ALL_LISTS, FiguresInputs, count_figures, count_segments
from seqrec.recommendation.rules.stored import StoredRules, open_rules, rules_compared
from seqrec.scoring.run import TrainedRun
from seqrec.scoring.scorer import run_scorer, vocabulary_of
from seqrec.tables.row_files import FileTask, RowFile

LISTS, NAMES = "lists", "item_names.arrow"


@dataclass(frozen=True)
class ListJob:
    """What travels to the workers."""

    root: str
    names: str  # Path of the ids and titles.
    run: TrainedRun | None  # None when a ranker orders the candidates.
    ranker: PublishedRanker | None
    candidates: Manifest | None
    retrieval_run: TrainedRun | None  # The run that candidates were found by, if they were found by one.
    config: RecommendationConfig
    as_of: int
    rules: StoredRules | None = None


@dataclass(frozen=True)
class WantedUsers:
    """The users to write lists for; all of them if both are None."""

    listed: frozenset[str] | None = None
    changed: str | None = None  # Folder of the users whose histories have changed, by file.

    def of_file(self, storage: Storage, number: int) -> frozenset[str] | None:
        """Those in the file of histories of that number; None: all."""
        return self.listed if self.changed is None else read_changed_users(storage, self.changed, number)


def write_lists(job: ListJob, users: WantedUsers, task: FileTask, file: RowFile) -> dict[str, Any]:
    """Lists of the users of one file, or of the wanted ones among them."""
    storage = Storage(job.root)
    recommender, names = open_recommender(storage, job), ItemNames.open(storage, job.names)
    wanted = users.of_file(storage, task.number)
    rules, figures = rules_compared(recommender.rules), figures_inputs(storage, job, recommender)
    counted: Counter[str] = Counter(users=0)
    for histories, candidates in read_rows(storage, job, task.inputs):
        if wanted is not None:
            rows = np.array(keep_users(histories.users, wanted), np.int64)
            if not len(rows):
                continue
            histories = histories.take(rows)
            candidates = candidates and Candidates(candidates.items[rows], candidates.sources[rows])
        histories = histories.before_as_of()
        scored = recommender.scored(histories, candidates)
        found = recommender.choose(scored, recommender.rules)
        file.write(list_columns(histories.users, found, names))
        counted["users"] += len(histories)
        counted.update(count_figures(figures, ALL_LISTS, found.items, histories))
        counted.update(count_segments(found.items, figures, histories))
        if histories.target_items is not None:
            for name, each in rules.items():
                chosen = recommender.choose(scored, each, Counter())
                counted.update(count_figures(figures, name, chosen.items, histories))
    counted.update(recommender.counted)
    recommender.counted.clear()
    return dict(counted)


def write_popularity_lists(job: ListJob, users: list[str], task: FileTask, file: RowFile) -> dict[str, Any]:
    """The same list for everyone of whom nothing is known."""
    storage = Storage(job.root)
    recommender, names = open_recommender(storage, job), ItemNames.open(storage, job.names)
    one = recommender.popularity_list(job.as_of)
    for start in range(0, len(users), job.config.batch_size):
        some = users[start : start + job.config.batch_size]
        many = Lists(*(np.repeat(part, len(some), axis=0) for part in (one.items, one.scores, one.sources)))
        file.write(list_columns(pa.array(some, pa.string()), many, names))
    removed = {name: count * len(users) for name, count in recommender.counted.items()}
    recommender.counted.clear()
    return {"users": len(users), "users_without_history": len(users), **removed}


def read_rows(
    storage: Storage, job: ListJob, inputs: tuple[str, ...]
) -> Iterator[tuple[UserHistories, Candidates | None]]:
    """Batches of histories, with their candidates where those lie in a second file, row beside row.

    Raises:
        DataError: the two files are not of the same users.
    """
    size, measured = job.config.batch_size, job.config.histories != "latest"
    if len(inputs) == 1:
        histories = read_histories(storage, inputs[0], size, job.as_of, with_targets=measured)
        yield from ((each, None) for each in histories)
        return
    yield from read_with_candidates(storage, (inputs[0], inputs[1]), size, job.as_of, with_targets=measured)


def list_columns(users: pa.Array, found: Lists, names: ItemNames) -> dict[str, Any]:
    """One row per user and rank; places without an item give none."""
    row, place = np.nonzero(found.items)
    ids, titles = names.look_up(found.items[row, place])
    return {
        C.USER: users.take(pa.array(row)),
        C.RANK: pa.array(place + 1, pa.int32()),
        C.ITEM: ids,
        C.SCORE: pa.array(found.scores[row, place], pa.float32()),
        C.SOURCE: pa.array(LIST_SOURCES, pa.string()).take(pa.array(found.sources[row, place])),
        C.TITLE: titles,
    }


def open_recommender(storage: Storage, job: ListJob) -> Recommender:
    """A worker's recommender; models are read once per process, arrays are mapped."""
    config, scorer, ranker = job.config, None, None
    if job.ranker is not None:
        ranker, vocabulary = ranker_of(storage, job.ranker.stored, job.ranker.inputs)
    else:
        assert job.run is not None
        num_runs = 1 if job.retrieval_run is None else 2
        scorer = run_scorer(storage, job.run, config.pairs_at_once, config.tensorflow_threads, num_kept=num_runs)
        vocabulary = vocabulary_of(storage, job.run)
    if job.candidates is None:
        order, shares = _by_count(vocabulary, config.k)
        rules = open_rules(storage, job.rules, config, vocabulary, None)
        if rules is not None:  # They may take out the most popular ones.
            order, shares = _by_count(vocabulary, len(vocabulary.train_count))
        return Recommender(config, scorer, None, order, shares, rules=rules)
    folder = f"candidates/{job.candidates.name}/{job.candidates.id}/{NEIGHBOURS}"
    popular, shares = (map_array(storage, f"{folder}/popular_{what}.npy") for what in ("items", "shares"))
    sources = open_sources(storage, job.candidates, job.retrieval_run, vocabulary)
    rules = open_rules(storage, job.rules, config, vocabulary, folder)
    return Recommender(config, scorer, sources, popular, shares, ranker, rules)


def figures_inputs(storage: Storage, job: ListJob, recommender: Recommender) -> FiguresInputs:
    """What the figures of lists read; those of rules, where there are rules."""
    if job.ranker is not None:
        _, vocabulary = ranker_of(storage, job.ranker.stored, job.ranker.inputs)
    else:
        assert job.run is not None
        vocabulary = vocabulary_of(storage, job.run)
    vectors = None if recommender.rules is None else recommender.rules.facts.vectors
    popular = np.asarray(recommender.popular_items[: job.config.k])
    return FiguresInputs(vocabulary.train_count, vocabulary.item_category, vectors, popular)


def _by_count(vocabulary: Vocabulary, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The items of most training events, int32, and their shares of all events, float32."""
    order = np.argsort(-vocabulary.train_count[1:], kind="stable")[:count] + 1
    shares = vocabulary.train_count[order] / max(1, vocabulary.train_count.sum())
    return order.astype(np.int32), shares.astype(np.float32)
