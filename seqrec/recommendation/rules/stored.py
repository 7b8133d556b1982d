"""Rules of published lists: written by the driver, opened by workers."""

from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import SparkSession

from seqrec.core.errors import ConfigError
from seqrec.core.local_copies import map_array
from seqrec.core.manifest import Attempt, Manifest, check_files
from seqrec.core.storage import Storage
from seqrec.events.vocabulary import Vocabulary, read_vocabulary
from seqrec.neighbours.event_days import EventDays
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.rules.item_facts import BARRED, BRANDS, rule_files_digests, write_item_facts
from seqrec.recommendation.rules.selection import ItemFacts, ListRules
from seqrec.recommendation.rules_config import RulesConfig
from seqrec.scoring.index.item_index import VECTORS, check_same_weights, index_dataset
from seqrec.scoring.run import read_run

RULES_FOLDER, NO_RULES = "rules", "no rules"


@dataclass(frozen=True)
class StoredRules:
    """Where what rules know of items lies."""

    folder: str
    vectors: str | None  # Path of the item vectors of a run.


def rules_inputs(storage: Storage, prepared: Manifest, config: RecommendationConfig) -> dict[str, str]:
    """What rules add to the inputs of a recipe: the contents of files, and of an index.

    Raises:
        SeqrecError: a file cannot be read, the run or its index is not there, or a rule does not go with the settings.
    """
    rules = config.rules
    if rules.min_new and config.over == "catalogue":
        raise ConfigError(
            "recommendation.rules.min_new: what is new is known from candidates, but over is 'catalogue': set "
            "over=candidates, or leave min_new out."
        )
    if rules.min_long_tail > config.k or rules.min_new > config.k:
        raise ConfigError(
            f"recommendation.rules: min_long_tail is {rules.min_long_tail} and min_new {rules.min_new}, but lists have "
            f"k={config.k} items: give at most k."
        )
    digests = rule_files_digests(rules)
    if rules.vectors_run is not None:
        digests["rules.vectors_run"] = _index_of(storage, prepared, rules.vectors_run).content
    return digests


def write_rules(
    spark: SparkSession, attempt: Attempt, prepared: Manifest, config: RulesConfig
) -> tuple[StoredRules | None, dict[str, Any]]:
    """Writes what the rules know of items; None without rules. Also what to report of each rule."""
    if config == RulesConfig():
        return None, {}
    folder = f"{attempt.path}/{RULES_FOLDER}"
    vocabulary = read_vocabulary(attempt.storage, prepared)
    report = write_item_facts(spark, attempt, prepared, vocabulary, config, folder)
    return stored_rules(attempt.storage, prepared, config, folder), report


def stored_rules(storage: Storage, prepared: Manifest, config: RulesConfig, folder: str) -> StoredRules:
    vectors = None
    if config.vectors_run is not None:
        vectors = _index_of(storage, prepared, config.vectors_run).table(VECTORS).files[0].path
    return StoredRules(folder, vectors)


def open_rules(
    storage: Storage,
    stored: StoredRules | None,
    config: RecommendationConfig,
    vocabulary: Vocabulary,
    neighbours: str | None,
) -> ListRules | None:
    """
    Args:
        neighbours: folder of the arrays of the candidates; None without candidates.
    """
    if stored is None:
        return None
    facts = ItemFacts(
        barred=map_array(storage, f"{stored.folder}/{BARRED}"),
        brand=map_array(storage, f"{stored.folder}/{BRANDS}"),
        category=vocabulary.item_category,
        train_count=vocabulary.train_count,
        event_days=EventDays.open(storage, neighbours) if config.rules.min_new and neighbours is not None else None,
        vectors=None if stored.vectors is None else map_array(storage, stored.vectors),
    )
    return ListRules(config.rules, config.exclude_own_items, facts)


def rules_compared(rules: ListRules | None) -> dict[str, ListRules]:
    """No rule, and each of several alone: what it costs is the difference of these lists."""
    if rules is None:
        return {}
    active = rules.config.active
    found = {NO_RULES: replace(rules, config=rules.config.only(None))}
    if len(active) > 1:
        found |= {rule: replace(rules, config=rules.config.only(rule)) for rule in active}
    return found


def _index_of(storage: Storage, prepared: Manifest, run: str) -> Manifest:
    trained = read_run(storage, run, prepared)
    manifest = index_dataset(storage, run).require("index")
    check_same_weights(trained, manifest)
    check_files(storage, manifest.table(VECTORS), "Run the job 'index' again (--set force=true).")
    return manifest
