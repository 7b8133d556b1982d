"""The recipe of every stage stays what it was: what lies on users' disks is neither made again nor mistaken."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from seqrec.core.config import recipe_keys, recipe_settings
from seqrec.pipeline.config import RunConfig, load_run_config
from tests.pipeline.recipe_world import make_world, recipe_digest

# Recorded on 2026-11-26 at commit 6a82a67, where each stage had its own list of the keys that its recipe leaves out;
# those of ingest anew on 2026-11-27, when its version rose because lines of more dialects are read.
RECORDED: list[tuple[str, Sequence[str], str]] = [
    ("download", ["download.edition='2018'", "download.categories=[Gift_Cards]"], "cc3d5517a3327dbe970da103ad7a91a4"),
    (
        "download",
        ["download.edition='2014'", "download.categories=[Beauty]", "download.num_parallel=2"],
        "778bec48023ce21e4f3d0bb90560d3c6",
    ),
    ("synthesize", [], "884f201a5ec49dfee7657fc43f973a54"),
    ("synthesize", ["synthesis.num_users=300", "seed=7"], "21b97e7718f8b223e5400ef6ae49491a"),
    ("ingest", [], "689b4f2bc921eccf524f24da39f07352"),
    (
        "ingest",
        ["ingestion.split_above_mb=1", "ingestion.piece_mb=2", "ingestion.max_reject_fraction=0.2"],
        "c3302159300adfee9b5c5138961dd65d",
    ),
    ("prepare", [], "60bac10b41dae78dde72b5955c07d4cc"),
    (
        "prepare",
        ["preparation.min_interactions=3", "preparation.tie_order=item_id", "preparation.num_test_negatives=49"],
        "59a4799ba0cb5f297ee826ecb55fe474",
    ),
    ("train", [], "6d61bce6109a24d96cbf3cd45ef51192"),
    (
        "train",
        [
            "model.name=sli_rec",
            "training.num_epochs=3",
            "training.num_workers=2",
            "training.loss.num_negatives=9",
            "training.optimizer.learning_rate=0.01",
            "training.scratch=/tmp/x",
            "seed=3",
        ],
        "6bc7784a609da76733342f884557083e",
    ),
    (
        "train",
        [
            "model.name=gru",
            "training.start_from=other",
            "training.loss.negatives=in_batch",
            "training.metrics_at=[1,3]",
        ],
        "4c831d6197ae2c0447f9900d34f71c77",
    ),
    ("evaluate", ["training.run=demo-a2svd"], "90f112fee884d783580110f5bb3855dd"),
    (
        "evaluate",
        [
            "training.run=demo-a2svd",
            "evaluation.split=validation",
            "evaluation.compare_to=other",
            "evaluation.report=false",
            "evaluation.batch_size=7",
            "evaluation.num_replicates=200",
        ],
        "fe578772745bd3e5ad44c7c6c2584398",
    ),
    ("tune", ["tuning.num_compared_seeds=0"], "686a0652b43ab41ccf0e3af402f3919f"),
    (
        "tune",
        [
            "tuning.num_trials=3",
            "tuning.num_epochs=2",
            "tuning.num_parallel=2",
            "tuning.sampler.name=random",
            "tuning.confidence=0.9",
            "training.num_workers=2",
        ],
        "0fec4449ab39175229db674c16dd767d",
    ),
    ("candidates", [], "a7c2e91d9670d20f948c0263390ff9a2"),
    (
        "candidates",
        [
            "candidates.histories=test",
            "candidates.sources=[popularity, co_visitation]",
            "candidates.strides.popularity=7",
        ],
        "3b1af01874df4da06a56a304fb1757d1",
    ),
    ("recommend", [], "428b3d42f3b78818344d6ae610275113"),
    (
        "recommend",
        ["recommendation.k=5", "recommendation.users=[ann,bob]", "recommendation.batch_size=100"],
        "6c594db4bcd5f184a8a3640167c0ec64",
    ),
    (
        "recommend",
        ["recommendation.over=catalogue", "recommendation.tensorflow_threads=2", "recommendation.as_of=2018-01-01"],
        "6b7d25b3414ce275107d28ddeaafee06",
    ),
    ("export", [], "895d727df4acf87ddf04515816351ece"),
    (
        "export",
        ["export.max_k=7", "export.mlflow_tracking_uri=file:///tmp/x", "export.block_size=9"],
        "1f3ac0465d58ca2090a8bf3591d87eaa",
    ),
]
# Section -> the keys that its stage's recipe leaves out.
LEFT_OUT = {
    "ingestion": {"split_above_mb", "piece_mb", "compiled", "in_process_mb"},
    "evaluation": {"batch_size", "tensorflow_threads", "importance_rows", "report", "report_runs"},
    "tuning": {
        *("study", "num_trials", "executor", "num_parallel", "max_trial_seconds", "resume"),
        *("num_compared_seeds", "num_replicates", "confidence"),
    },
    "recommendation": {"user", "page", "tensorflow_threads", "users", "users_file", "histories_file", "max_catalogue"},
    "index": {"num_threads"},
    "similar_items": {"tensorflow_threads"},
    "export": {"mlflow_tracking_uri", "mlflow_experiment", "mlflow_model"},
    **dict.fromkeys(("source", "synthesis", "preparation", "candidates", "model"), set()),
}
# Section -> keys that came later: the recipe has them only where they are set.
ADDED = {
    "synthesis": {"brand_share"},
    "model": {"features", "feature_dim", "id_dropout"},
    "recommendation": {"ranker", "rules", "changed_since"},
    "candidates": {"retrieval_run", "train_share"},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    make_world(folder)
    return folder


@pytest.mark.parametrize(("job", "overrides", "digest"), RECORDED)
def test_the_recipe_of_a_stage_is_that_of_before(
    spark: SparkSession, world: Path, monkeypatch: pytest.MonkeyPatch, job: str, overrides: Sequence[str], digest: str
) -> None:
    config = load_run_config(None, [f"workdir={world}", *overrides])

    assert recipe_digest(job, config, monkeypatch) == digest


@pytest.mark.parametrize("section", LEFT_OUT)
def test_a_recipe_leaves_out_these_keys_and_no_others(section: str) -> None:
    config: Any = getattr(RunConfig(), section)
    keys = {field.name for field in dataclasses.fields(config)}

    assert keys - set(recipe_keys(config)) == LEFT_OUT[section]
    assert recipe_settings(config).keys() == keys - LEFT_OUT[section] - ADDED.get(section, set())
