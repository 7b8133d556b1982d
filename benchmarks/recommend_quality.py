"""How good the lists are: hit rate and NDCG over the whole catalogue, beside lists that need no model.

PYTHONPATH=. python benchmarks/recommend_quality.py WORKDIR NAME SPLIT RUN [RUN ...] [--weights 0 1.5]

Needs `candidates/NAME-SPLIT` (candidates.histories=SPLIT) and the trained runs. All lists leave out the user's own
items; a target outside of the list, or among the own items, is a miss. Each list's lead over co-visitation alone comes
with a 95 % interval: the users are drawn again a thousand times, the same users for both lists. The whole catalogue is
scored for the first `--catalogue-users` only, whose lead is over co-visitation for these users.
"""

import argparse
import time

import numpy as np

from seqrec.core.storage import Storage
from seqrec.evaluation.statistics.row_metrics import from_whole, to_whole
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.recommender import best_of, with_places
from seqrec.recommendation.lists.stage import list_job, read_inputs
from seqrec.recommendation.lists.write_lists import open_recommender, read_rows
from seqrec.scoring.intervals import interval, poisson_weights, weighted_sums

ALONE = "co_visitation alone"
REPLICATES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir")
    parser.add_argument("name")
    parser.add_argument("split")
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--weights", type=float, nargs="*", default=[RecommendationConfig().candidate_weight])
    parser.add_argument("--catalogue-users", type=int, default=0, help="of so many users the whole catalogue is scored")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--files", type=int, default=None, help="only so many files of users")
    chosen = parser.parse_args()
    storage = Storage(chosen.workdir)
    hits: dict[str, list[np.ndarray]] = {}
    seconds: dict[str, float] = {}
    for number, run in enumerate(chosen.runs):
        config = RecommendationConfig(histories=chosen.split, k=chosen.k, tensorflow_threads=2)
        inputs = read_inputs(storage, chosen.name, run, config)
        job = list_job(storage, inputs, config, "")
        recommender = open_recommender(storage, job)
        finder = recommender.finder
        assert finder is not None
        assert inputs.candidates is not None
        folder = f"candidates/{inputs.candidates.name}/{inputs.candidates.id}/candidates"
        for part, file in enumerate(inputs.prepared.table(f"sequences/{chosen.split}").files[: chosen.files]):
            for histories, candidates in read_rows(storage, job, (file.path, f"{folder}/part-{part:05d}.parquet")):
                assert candidates is not None
                assert histories.target_items is not None
                if number == 0:
                    for source, keys in finder.lists(histories).items():
                        alone = finder.merge({source: keys}, len(histories))
                        add(hits, f"{source} alone", alone.items[:, : chosen.k], histories.target_items)
                    add(hits, "merged candidates, no model", candidates.items[:, : chosen.k], histories.target_items)
                started = time.perf_counter()
                scores = recommender.scorer.scores(histories, candidates.items)
                seconds[run] = seconds.get(run, 0.0) + time.perf_counter() - started
                for weight in chosen.weights:
                    found = best_of(candidates, with_places(scores, weight), chosen.k)
                    add(hits, f"{run} over candidates, weight {weight:g}", found.items, histories.target_items)
                label = f"{run} over the catalogue"
                missing = chosen.catalogue_users - sum(map(len, hits.get(label, [])))
                if missing > 0:
                    some = histories.take(np.arange(min(missing, len(histories))))
                    items, _ = recommender.scorer.best_of_catalogue(some, chosen.k, True)
                    add(hits, label, items, some.target_items)
    print(f"{'list':<50} {'users':>8} {f'HR@{chosen.k}':>8} {f'NDCG@{chosen.k}':>8}   lead in NDCG over {ALONE}")
    alone = gains(hits[ALONE])
    for name, parts in hits.items():
        gain = gains(parts)
        lead = "" if name == ALONE else lead_text(gain - alone[: len(gain)])
        print(f"{name:<50} {len(gain):>8,} {(gain > 0).mean():>8.4f} {gain.mean():>8.4f}   {lead}")
    for run, spent in seconds.items():
        print(f"{run}: candidates scored in {spent:.1f} s")


def add(hits: dict[str, list[np.ndarray]], name: str, items: np.ndarray, targets: np.ndarray) -> None:
    """Notes the place of each target in its list, 0 for a miss."""
    hit = (items == targets[:, None]) & (items > 0)
    hits.setdefault(name, []).append(np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, 0))


def gains(parts: list[np.ndarray]) -> np.ndarray:
    """The NDCG of each user."""
    place = np.concatenate(parts)
    return np.where(place > 0, 1 / np.log2(np.maximum(place, 1) + 1), 0.0)


def lead_text(difference: np.ndarray) -> str:
    """Mean difference of the users, and the interval of its bootstrap over users."""
    columns = np.stack([np.ones(len(difference), np.int64), to_whole(difference)], axis=1)
    sums = weighted_sums(poisson_weights, np.arange(len(difference)), 1, REPLICATES, columns)
    low, high = interval(from_whole(sums[:, 1]) / np.maximum(sums[:, 0], 1), 0.95)
    return f"{difference.mean():+.4f} [{low:+.4f}, {high:+.4f}]"


if __name__ == "__main__":
    main()
