"""NDCG@10 and hit rate@10 of lists by several rankers, with intervals over users and paired differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table

from seqrec.core.metrics import hit, ndcg
from seqrec.scoring.intervals import interval, poisson_weights, weighted_sums

CUTOFF = 10
NDCG, HIT = f"ndcg@{CUTOFF}", f"hit_rate@{CUTOFF}"
_ONE = 1 << 20  # Values are whole numbers of this unit, so that sums depend on no order.


def measure(
    names: Sequence[str], keys: np.ndarray, ranks: np.ndarray, *, seed: int, num_replicates: int, confidence: float
) -> dict[str, dict[str, Any]]:
    """Ranker -> metric -> value, `interval`, and `lead` over the first ranker with its interval.

    Args:
        keys: int64 [B], the users' keys; a user's rows share their weights.
        ranks: int [B, rankers], ranks of the targets; large where a target is not among the candidates.
    """
    values = np.concatenate([ndcg(ranks, CUTOFF), hit(ranks, CUTOFF)], axis=1)  # [B, 2 * rankers]
    whole = np.rint(values * _ONE).astype(np.int64)
    counted = np.concatenate([np.ones((len(keys), 1), np.int64), whole], axis=1)
    sums = weighted_sums(poisson_weights, keys, seed, num_replicates, counted)
    replicates = sums[:, 1:] / np.maximum(sums[:, :1], 1) / _ONE
    means = whole.sum(axis=0) / max(1, len(keys)) / _ONE
    results: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(names):
        results[name] = {}
        for metric, first in ((NDCG, 0), (HIT, len(names))):
            column = first + number
            lead = replicates[:, column] - replicates[:, first]
            results[name][metric] = {
                "value": float(means[column]),
                "interval": interval(replicates[:, column], confidence),
                "lead": float(means[column] - means[first]),
                "lead_interval": interval(lead, confidence),
            }
    return results


def measured_table(results: dict[str, dict[str, Any]], title: str) -> Table:
    """For people: a row for each ranker."""
    table = Table(title=title)
    lead = f"lead over {next(iter(results))}"
    for heading in ("order by", NDCG, lead, HIT.replace("_", " "), lead):
        table.add_column(heading, justify="left" if heading == "order by" else "right")
    for name, metrics in results.items():
        cells = [name]
        for metric in (NDCG, HIT):
            value = metrics[metric]
            low, high = value["interval"]
            cells.append(f"{value['value']:.4f} ({low:.4f}-{high:.4f})")
            low, high = value["lead_interval"]
            cells.append(f"{value['lead']:+.4f} ({low:+.4f} {high:+.4f})" if value["lead"] or low or high else "")
        table.add_row(*cells)
    return table
