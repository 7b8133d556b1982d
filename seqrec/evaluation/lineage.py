"""The inputs of an evaluation, and their description in its results: a number without its setup means nothing."""

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from seqrec.core.config import recipe_settings
from seqrec.core.manifest import Dataset, Manifest, digest_of, installed_versions
from seqrec.core.metrics import METRICS
from seqrec.core.storage import Storage
from seqrec.evaluation.checks import RowCounts
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.rankings.catalogue import Catalogue
from seqrec.evaluation.results import FORMAT_VERSION
from seqrec.events.vocabulary import Vocabulary
from seqrec.scoring.run import TrainedRun

FULL = "full"


@dataclass(frozen=True)
class EvaluationInputs:
    """Everything that one evaluation reads."""

    storage: Storage
    prepared: Manifest
    vocabulary: Vocabulary
    runs: tuple[TrainedRun, ...]  # The run, and the one it is compared with.
    config: EvaluationConfig
    seed: int

    def recipe(self) -> str:
        """Digest of everything that decides the numbers."""
        contents = [self.prepared.content, *((run.name, run.manifest.id, run.manifest.content) for run in self.runs)]
        # The metadata counts too: the baseline also_bought and main groups read it, and prepared data does not change
        # with it.
        ingested = Dataset(self.storage, "ingested", self.prepared.name).manifest()
        metadata = ingested.tables.get("items") if ingested is not None else None
        contents.append(metadata.content if metadata is not None else "none")
        return digest_of([FORMAT_VERSION, recipe_settings(self.config), contents, self.seed])


def describe_setup(inputs: EvaluationInputs, counts: RowCounts, catalogue: Catalogue | None) -> dict[str, Any]:
    """Everything needed to interpret the metrics: data, split, candidates, ties."""
    settings, details, config = inputs.prepared.settings, inputs.prepared.details, inputs.config
    return {
        "data": inputs.prepared.name,
        "num_users": counts.num_users,
        "num_rows": counts.num_rows,
        "candidates": _candidates(counts, catalogue),
        "num_candidates": _most_candidates(counts, catalogue),
        "negative_sampling": _negative_sampling(inputs),
        "correction": _correction(inputs),
        "split_method": details.get("split", settings.get("split", "not recorded")),
        "tie_order": details.get("tie_order", settings.get("tie_order", "not recorded")),
        "num_items": inputs.vocabulary.num_items,
        "num_trained_items": inputs.vocabulary.num_trained_items,
        "seed": inputs.seed,
        "ties": "against the target in ranks, half in AUC",
        "group_auc": METRICS["group_auc"].meaning,
        "averages": "means over rows, unweighted",
        "intervals": f"Poisson bootstrap over users, {config.num_replicates} replicates, {config.confidence:.0%}",
        "candidates_key": digest_of(
            [
                inputs.prepared.content,
                config.split,
                config.protocol,
                *((config.max_users, inputs.seed, config.full_candidates) if config.protocol == FULL else ()),
            ]
        ),
    }


def _candidates(counts: RowCounts, catalogue: Catalogue | None) -> str:
    if catalogue is None:
        return f"the target and {counts.num_negatives} stored negatives"
    least, most = catalogue.group_sizes.min(), catalogue.group_sizes.max()
    among = "items" if catalogue.item_group is None else "items of its main group"
    size = f"{most:,} items" if least == most else f"{least:,} to {most:,} items"
    return f"the target and all other {among}, but those of the stored history ({size})"


def _most_candidates(counts: RowCounts, catalogue: Catalogue | None) -> int:
    """Largest number of candidates in a row."""
    return counts.num_negatives + 1 if catalogue is None else int(catalogue.group_sizes.max())


def _negative_sampling(inputs: EvaluationInputs) -> str:
    if inputs.config.protocol == FULL:
        return "none"
    return str(inputs.prepared.settings.get("negative_sampling", "not recorded"))


def _correction(inputs: EvaluationInputs) -> str:
    if inputs.config.protocol == FULL:
        return "none needed: nothing is sampled"
    if _negative_sampling(inputs) == "uniform":
        return "Krichene and Rendle (2020), bias-variance trade-off 0.1: estimates of the full ranking's metrics"
    return "none: no correction is known for negatives that are not drawn uniformly"


def describe_lineage(inputs: EvaluationInputs) -> dict[str, Any]:
    """Where the numbers come from: digests, settings, versions and times of every stage behind them."""
    return {
        "prepared": _manifest_summary(inputs.prepared),
        "runs": [_manifest_summary(run.manifest) | {"model": dataclasses.asdict(run.config)} for run in inputs.runs],
        "evaluation": dataclasses.asdict(inputs.config),
        "versions": installed_versions(),
        "evaluated": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
    }


def _manifest_summary(manifest: Manifest) -> dict[str, Any]:
    kept = (
        "stage",
        "name",
        "id",
        "recipe",
        "content",
        "settings",
        "inputs",
        "counts",
        "created",
        "seconds",
        "versions",
    )
    return {key: getattr(manifest, key) for key in kept}
