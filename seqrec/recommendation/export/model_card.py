"""The card beside an exported model: its data and settings, its metrics, and its limits."""

import json
from typing import Any

from seqrec.core.manifest import Manifest, Recipe, installed_versions
from seqrec.core.storage import Storage
from seqrec.models.registry import family_of
from seqrec.recommendation.config import ExportConfig
from seqrec.scoring.run import TrainedRun

_USE = """```python
import tensorflow as tf

model = tf.saved_model.load("saved_model")
best = model.signatures["top_k"](
    item_ids=tf.constant([["{item}"]]), timestamps=tf.constant([[{time}]], tf.int64),
    as_of=tf.constant([{time}], tf.int64), k=tf.constant(10))
```"""
_SIGNATURES = {
    "serving_default": "item_ids string [B, T], timestamps int64 [B, T], as_of int64 [B], candidate_ids string [B, N] "
    "-> scores float32 [B, N], known bool [B, N]",
    "top_k": "item_ids, timestamps, as_of, k int32 [] -> item_ids string [B, k], scores float32 [B, k]",
    "score_indices": "item_indices int32 [B, T], timestamps, as_of, candidate_indices int32 [B, N] -> scores, known",
    "top_k_indices": "item_indices, timestamps, as_of, k -> item_indices int32 [B, k], scores",
}

_RETRIEVAL_SIGNATURES = {
    "encode": "item_ids, timestamps, as_of -> states float32 [B, V]",
    "encode_indices": "item_indices int32 [B, T], timestamps, as_of -> states",
    "item_vectors": "item_indices int32 [N] -> vectors float32 [N, V], known bool [N]; the product of a "
    "state and a vector is a logit",
}


def build_card(storage: Storage, run: TrainedRun, config: ExportConfig, recipe: Recipe) -> dict[str, Any]:
    """The content of the card, for programs."""
    manifest, details = run.manifest, run.manifest.details
    return {
        "run": manifest.name,
        "recipe": recipe.digest,
        "model": details["model"],
        "training": manifest.settings.get("training", {}),
        "seed": details.get("seed"),
        "data": {"dataset": details.get("prepared"), **manifest.inputs, "weights": manifest.content},
        "catalogue": {key: details[key] for key in ("num_items", "num_trained_items", "num_categories")},
        "metrics": {"validation, best epoch": details.get("best", {}), **evaluations_of(storage, manifest)},
        "limits": _limits(run, config),
        "signatures": {**_SIGNATURES, **(_RETRIEVAL_SIGNATURES if _is_retrieval(run) else {})},
        "versions": installed_versions(),
    }


def card_text(card: dict[str, Any], item: str, time: int) -> str:
    """The card for people, in Markdown.

    Args:
        item, time: an item id and seconds since 1970, for the example of use.
    """
    parts = [f"# {card['run']}: {card['model']['name']}", "", "## Use", "", _USE.format(item=item, time=time), ""]
    parts += [
        "Pad shorter histories with empty ids; events may be in any order. Scores are logits: higher is better.",
        "",
        *(f"- `{name}`: {what}" for name, what in card["signatures"].items()),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in card["limits"]),
        "",
    ]
    for title in ("metrics", "data", "catalogue", "model", "training", "versions"):
        parts += [f"## {title.capitalize()}", "", *_bullets(card[title]), ""]
    return "\n".join(parts)


def _bullets(values: dict[str, Any], prefix: str = "") -> list[str]:
    lines = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            lines += _bullets(value, f"{prefix}{key} / ")
        else:
            lines.append(f"- {prefix}{key}: {value}")
    return lines


def _is_retrieval(run: TrainedRun) -> bool:
    return family_of(run.config.name) == "retrieval"


def _limits(run: TrainedRun, config: ExportConfig) -> list[str]:
    catalogue = run.manifest.details
    never = catalogue["num_items"] - catalogue["num_trained_items"]
    return [
        f"The model knows {catalogue['num_items']:,} items. An unknown id is left out of a history, and is never "
        "recommended.",
        f"{never:,} of these items were never trained on: "
        + (
            "they have no vector, and are never recommended."
            if _is_retrieval(run)
            else "they share one embedding and differ by category only."
        ),
        f"The model reads the last {run.config.max_history_length} known events of a history, up to as_of.",
        "For an empty history the model still gives a list; it is not the list of the most popular items.",
        f"Top k scores every item, which suits small catalogues; k is at most {config.max_k}. For a large catalogue, "
        "score candidates instead.",
        "Scores here are the model's alone; the lists of the job 'recommend' also weigh an item's place among the "
        "candidates.",
        f"Items of the history are {'left out of' if config.exclude_own_items else 'kept in'} the top k.",
    ]


def evaluations_of(storage: Storage, run: Manifest) -> dict[str, Any]:
    """The metrics that `evaluate` measured of the run's present weights, not of earlier ones, by split and protocol."""
    found = {}
    for file in storage.list_files(f"runs/{run.name}/evaluations"):
        if not file.path.endswith(".json"):
            continue
        values = json.loads(storage.read_bytes(file.path))
        evaluated = [each["content"] for each in values.get("lineage", {}).get("runs", []) if each["name"] == run.name]
        results = [each for each in values.get("results", []) if each.get("name") == run.name]
        if results and evaluated == [run.content]:
            name = file.path.rpartition("/")[2].removesuffix(".json")
            found[name] = results[0].get("metrics", results[0])
    return found
