"""What stages refuse once they know the data: the settings that a message tells are set, and the check then passes."""

import contextlib
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from seqrec.core.errors import SeqrecError
from seqrec.feed.layout import Layout, check_layout
from seqrec.ingestion.download.public_files import files_to_download
from seqrec.ingestion.line_counts import FileCounts, check_rejects
from seqrec.pipeline.config import RunConfig, load_run_config
from seqrec.preparation.negatives.population import Population, check_enough
from seqrec.preparation.splits.boundaries import split_rule
from seqrec.training.checks import check_memory, check_prepared, layout_of, with_metric
from seqrec.training.learning_rate import plan_learning_rate
from tests.advice.following import told

Check = Callable[[RunConfig], object]
few = hypothesis_settings(max_examples=30)


def refusal(check: Check, settings: list[str]) -> str:
    with pytest.raises(SeqrecError) as caught:
        check(load_run_config(None, settings).run)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def follow(check: Check, settings: list[str]) -> list[str]:
    """Sets what the message tells, sees that it is taken, and returns what it gave."""
    advice = told(refusal(check, settings))
    assert advice
    check(load_run_config(None, [*settings, *advice]).run)
    return advice


def prepared(**details: Any) -> Any:
    known = {"max_stored_history": 200, "num_items": 30, "num_trained_items": 30, "num_negatives": {"validation": 4}}
    table = SimpleNamespace(rows=100)
    return SimpleNamespace(name="toy", details=known | details, table=lambda _: table)


def check_data(run: RunConfig, **details: Any) -> None:
    check_prepared(prepared(**details), run.model, with_metric(run.training, run.model))


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ("model.max_history_length=300", ["model.max_history_length=200"]),
        ("training.metrics_at=[2, 9]", ["training.metrics_at=[2]"]),
        ("training.metrics_at=[9]", ["training.metrics_at=[]"]),
        ("training.metric=hit_rate@7", ["training.metric=hit_rate@4"]),
        ("training.metric=catalogue_ndcg@40", ["training.metric=catalogue_ndcg@29"]),
        (
            "training.metric=catalogue_hit_rate@40; training.metrics_at=[5]; model.max_history_length=201",
            ["model.max_history_length=200", "training.metrics_at=[]", "training.metric=catalogue_hit_rate@29"],
        ),
    ],
)
def test_settings_that_the_data_cannot_give(settings: str, advice: list[str]) -> None:
    assert follow(check_data, settings.split("; ")) == advice


def test_more_is_prepared_where_that_is_wanted() -> None:
    check_data(load_run_config(None, ["model.max_history_length=300"]).run, max_stored_history=300)
    check_data(load_run_config(None, ["training.metric=hit_rate@7"]).run, num_negatives={"validation": 7})


def test_too_many_pairs_of_rows_and_items() -> None:
    def check(run: RunConfig) -> None:
        check_data(run, num_items=10**7)

    assert follow(check, ["training.metric=catalogue_mrr"]) == ["training.validation_sample=50"]


def test_a_loss_that_needs_too_much_memory() -> None:
    settings = ["model.name=sasrec", "training.loss.options={full_softmax: {block_mb: 1000000000}}"]

    def check(run: RunConfig) -> None:
        check_memory(prepared(), run.model, run.training)

    assert follow(check, settings) == ["training.loss.name=shared_softmax"]


@pytest.mark.parametrize("warmup", ["warmup_steps=50", "warmup_epochs=20"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_warm_up_longer_than_the_training(warmup: str, schedule: str) -> None:
    def check(run: RunConfig) -> None:
        plan_learning_rate(run.training, lambda _: 4)

    settings = [f"training.{warmup}", f"training.optimizer.schedule={schedule}"]
    assert follow(check, settings) == [f"training.{warmup.partition('=')[0]}=0"]
    check(load_run_config(None, [*settings, "training.num_epochs=30"]).run)


@few
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=24),
    st.integers(1, 16),
    st.integers(1, 8),
    st.integers(1, 3),
    st.integers(1, 500),
)
def test_whatever_does_not_fit_one_change_of_settings_does(
    examples: list[int], streams: int, workers: int, parts: int, batch: int
) -> None:
    settings = {"num_streams": streams, "num_workers": workers, "gradient_accumulation": parts}
    overrides = [f"training.{key}={value}" for key, value in (settings | {"global_batch_size": batch}).items()]
    layout = layout_of(load_run_config(None, ["training.loss.negatives=uniform", *overrides]).run.training, 1)
    with contextlib.suppress(SeqrecError):
        check_layout(examples, layout)
        return
    with pytest.raises(SeqrecError) as caught:
        check_layout(examples, layout)
    advice = told(str(caught.value))
    if not advice:
        assert "prepare more data, or loosen the filters" in str(caught.value)
        assert sum(examples) < 2
        return
    followed = layout_of(load_run_config(None, [*overrides, *advice]).run.training, 1)
    check_layout(examples, followed)
    assert followed.num_streams <= streams
    assert followed.num_workers <= workers


def test_what_divides_and_is_filled_is_not_refused() -> None:
    check_layout([50] * 8, Layout(seed=1, num_streams=8, global_batch_size=400, files_per_group=4, num_workers=4))


@few
@given(st.integers(2, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.booleans())
def test_too_few_items_for_the_negatives(items: int, validation: int, test: int, own: int, excludes: bool) -> None:
    population = Population.build(np.array([0] + [1] * items), "uniform", 1.0)

    def check(run: RunConfig) -> None:
        config = run.preparation
        wanted = {key: getattr(config, key) for key in ("num_validation_negatives", "num_test_negatives")}
        barred = min(own, items) if config.exclude_own_items else 1
        check_enough(population, wanted, barred, excludes_own=config.exclude_own_items)

    settings = [f"preparation.num_validation_negatives={validation}", f"preparation.num_test_negatives={test}"]
    settings.append(f"preparation.exclude_own_items={str(excludes).lower()}")
    if max(validation, test) > items - (min(own, items) if excludes else 1):
        follow(check, settings)
    else:
        check(load_run_config(None, settings).run)


def test_boundaries_that_fall_on_one_day() -> None:
    days = np.array([1, 90, 9])

    def check(run: RunConfig) -> None:
        split_rule(run.preparation, days, 17_000)

    settings = ["preparation.split=temporal"]
    both = ["preparation.validation_boundary=0.3", "preparation.test_boundary=0.5"]
    assert "Move them apart" in refusal(check, [*settings, *both])
    check(load_run_config(None, [*settings, *both, "preparation.validation_boundary=0.005"]).run)
    late = ["preparation.validation_boundary=0.5", "preparation.test_boundary=0.95"]
    assert "Give a smaller share, or a date" in refusal(check, [*settings, *late])
    check(
        load_run_config(None, [*settings, "preparation.validation_boundary=0.005", "preparation.test_boundary=0.5"]).run
    )
    check(load_run_config(None, [*settings, *late, "preparation.test_boundary='2016-07-21'"]).run)


def test_categories_and_editions_of_a_download() -> None:
    def check(run: RunConfig) -> None:
        files_to_download(run.download)

    assert "It has" in (message := refusal(check, ["download.categories=[Gift_Card]"]))
    assert "Did you mean 'Gift_Cards'?" in message
    assert "Edition 2018-small has " in refusal(check, [])
    check(load_run_config(None, ["download.categories=[Gift_Cards]"]).run)


def test_paths_of_a_catalogue_of_ones_own(tmp_path: Any) -> None:
    def check(run: RunConfig) -> None:
        files_to_download(run.download)

    catalogue = tmp_path / "mine.yaml"
    settings = [f"download.catalogue={catalogue}", "download.edition='2018'", "download.categories=[A, B]"]
    text = "'%s': {mirrors: [http://x], reviews: %s, ratings: r.csv, metadata: 'm_{category}.gz', categories: [A, B]}"
    catalogue.write_text(text % ("2018", "'{category}/all.gz'"))
    assert "Put {category} into the last part of its path" in refusal(lambda run: check_names(run, check), settings)
    catalogue.write_text(text % ("2018", "'{category}/.hidden'"))
    assert "Correct its path in download.catalogue" in refusal(check, settings)
    catalogue.write_text(text % ("2014", "'{category}.gz'"))
    assert "has no edition '2018', only 2014" in refusal(check, settings)
    check(load_run_config(None, [*settings, "download.edition='2014'"]).run)
    catalogue.write_text(text % ("2018", "'{category}.gz'"))
    check(load_run_config(None, settings).run)


def check_names(run: RunConfig, check: Check) -> None:
    check(replace(run, download=replace(run.download, categories=["A"])))
    check(run)
    raise AssertionError("two downloads of one name were taken")


@few
@given(st.integers(1, 900), st.integers(0, 900))
def test_too_many_rejected_lines(rejected: int, good: int) -> None:
    counts = [FileCounts(source="file:///a", written=good, rejects={"malformed": rejected})]

    def check(run: RunConfig) -> None:
        check_rejects(counts, run.ingestion.max_reject_fraction)

    if rejected > 0.01 * (rejected + good):
        follow(check, [])


def test_packages_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    from seqrec.reranking.boosted_trees import lightgbm
    from seqrec.scoring.index.approximate import import_faiss
    from seqrec.training.reporting.mlflow import MlflowLog

    for name in ("lightgbm", "faiss", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
    for settings, check, advice in (
        ("ranker.learner=trees", lambda run: run.ranker.learner == "linear" or lightgbm(), "ranker.learner=linear"),
        ("index.kind=approximate", lambda run: run.index.kind == "exact" or import_faiss(), "index.kind=exact"),
    ):
        assert follow(check, [settings]) == [advice]
    with pytest.raises(SeqrecError, match="or set it to null"):
        MlflowLog("file:///tmp/x", "run", "tag", {})
    assert load_run_config(None, ["training.mlflow=null"]).run.training.mlflow is None
