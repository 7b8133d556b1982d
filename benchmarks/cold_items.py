"""Items without training events: are they found by their features?

    python benchmarks/hold_out.py WORKDIR toys       # Makes `toys-cold` of prepared data with features.
    ./spark-submit.sh train ... --set name=toys-cold --set training.run=RUN     # For each run.
    python benchmarks/cold_items.py WORKDIR toys-cold RUN [RUN ...]

Ranks the test targets among the whole catalogue, own items left out, and prints a table: rows whose target is held out,
and all others. The baseline puts the items of the last item's category first, by training events, then all others
likewise; the order among equal items is random, and the mean over these orders is stated.
"""

import sys
from collections.abc import Iterator

import numpy as np

from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import Vocabulary, read_vocabulary
from seqrec.feed.evaluation import EvaluationFeed
from seqrec.feed.reader import read_target_rows
from seqrec.scoring.catalogue_ranks import CatalogueRanker
from seqrec.scoring.loaded_model import read_model
from seqrec.scoring.run import read_run
from seqrec.scoring.scorer import stored_model

TEST = "sequences/test"


def main(workdir: str, name: str, *runs: str) -> None:
    storage = Storage(workdir)
    prepared = Dataset(storage, "prepared", name).require("prepare")
    vocabulary = read_vocabulary(storage, prepared)
    print("| ranking | rows | recall@500, held out | NDCG@10, held out | recall@500, others | NDCG@10, others |")
    print("|---|---|---|---|---|---|")
    for run in runs:
        ranks, targets = ranks_of_run(storage, prepared, vocabulary, run)
        cold = targets > vocabulary.num_trained_items
        show(run, cold, figures(ranks[cold]), figures(ranks[~cold]))
    baseline = np.array(list(popularity_in_category(storage, prepared, vocabulary)))
    cold = baseline[:, 0] > vocabulary.num_trained_items
    show("popularity in the category", cold, *(expected_figures(*baseline[rows, 1:].T) for rows in (cold, ~cold)))


def ranks_of_run(
    storage: Storage, prepared: Manifest, vocabulary: Vocabulary, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the test targets, and the targets."""
    run = read_run(storage, name, prepared)
    ranker = CatalogueRanker(read_model(stored_model(storage, run, vocabulary, 1)), vocabulary.num_items)
    feed = EvaluationFeed(
        storage=storage,
        files=prepared.table(TEST).files,
        batch_size=ranker.batch_size,
        max_history_length=run.config.max_history_length,
    )
    vectors, ranks, targets = ranker.item_vectors(), [], []
    for batch, num_rows in feed.catalogue_batches():
        ranks.append(ranker.ranks(batch, vectors).numpy()[0, :num_rows])
        targets.append(batch.target_items[0, :num_rows])
    return np.concatenate(ranks), np.concatenate(targets)


def popularity_in_category(
    storage: Storage, prepared: Manifest, vocabulary: Vocabulary
) -> Iterator[tuple[int, int, int]]:
    """For each test row: the target, the items surely before it, and those equal to it (itself among them)."""
    count, category = vocabulary.train_count, vocabulary.item_category
    ahead = count.max() + 1  # Puts an item before all those of other categories.
    for file in prepared.table(TEST).files:
        rows = read_target_rows(storage, [file])
        for row in range(len(rows)):
            history = rows.items.values[rows.items.offsets[row] : rows.items.offsets[row + 1]]
            score = count + ahead * (category == category[history[-1]])
            target = int(rows.target_items[row])
            own = score[target]
            score[history] = score[0] = -1
            yield target, int((score > own).sum()), max(1, int((score == own).sum()))


def figures(ranks: np.ndarray) -> tuple[float, float]:
    """Recall@500 and NDCG@10."""
    ranks = ranks.astype(np.float64)
    return float((ranks <= 500).mean()), float(np.where(ranks <= 10, 1.0 / np.log2(1.0 + ranks), 0.0).mean())


def expected_figures(before: np.ndarray, equal: np.ndarray) -> tuple[float, float]:
    """As `figures`, in the mean over the orders of equal items."""
    recall = np.clip(500 - before, 0, equal) / equal
    gains = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(1.0 + np.arange(1, 11)))])  # The first n places together.
    first, last = np.minimum(before, 10), np.minimum(before + equal, 10)
    return float(recall.mean()), float(((gains[last] - gains[first]) / equal).mean())


def show(name: str, cold: np.ndarray, held_out: tuple[float, float], others: tuple[float, float]) -> None:
    numbers = " | ".join(f"{value:.4f}" for value in (*held_out, *others))
    print(f"| {name} | {cold.sum():,} + {(~cold).sum():,} | {numbers} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
