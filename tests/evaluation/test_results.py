import dataclasses
from pathlib import Path

import pytest
from rich.console import Console

from seqrec.core.errors import DataError
from seqrec.core.storage import Storage
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.results import (
    Evaluation,
    RankerResult,
    comparison_table,
    evaluation_path,
    markdown_table,
    print_comparison,
    read_evaluation,
)


def evaluation(run: str, auc: float, candidates_key: str = "same") -> Evaluation:
    def result(name: str, kind: str, value: float) -> RankerResult:
        metrics = {"auc": value, "group_auc": value, "mrr": 0.2, "ndcg@2": 0.1, "ndcg@10": 0.3, "hit_rate@1": 0.1}
        return RankerResult(name=name, kind=kind, metrics=metrics)

    setup = {
        "data": "books",
        "num_users": 1234,
        "candidates": "the target and 9 stored negatives",
        "negative_sampling": "uniform",
        "split_method": "leave_last_out",
        "tie_order": "hash",
        "seed": 5,
        "candidates_key": candidates_key,
    }
    results = [result(run, "model", auc), result("popularity", "baseline", 0.6)]
    return Evaluation(run=run, model="a2svd", split="test", protocol="sampled", setup=setup, results=results)


def text(*evaluations: Evaluation) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(comparison_table(evaluations))
    return capture.get()


def test_comparison_table_shows_the_baselines_once_and_every_model() -> None:
    shown = text(evaluation("first", 0.71), evaluation("second", 0.82))

    rows = [line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│")]
    assert rows == ["popularity", "first", "second"]
    assert "0.8200" in shown


def test_comparison_table_names_what_the_numbers_are() -> None:
    shown = " ".join(text(evaluation("first", 0.71)).split())

    for part in ("books, test split, sampled: 1,234 users", "9 stored negatives", "uniform", "ties hash", "seed 5"):
        assert part in shown


def test_comparison_table_keeps_other_candidates_apart() -> None:
    shown = text(evaluation("first", 0.71), evaluation("second", 0.82, candidates_key="other"))

    assert shown.count("popularity") == 2


@pytest.mark.parametrize(("num_candidates", "is_shown"), [(10, False), (11, True), (None, True)])
def test_a_hit_rate_that_cannot_vary_is_not_shown(num_candidates: int | None, is_shown: bool) -> None:
    one = evaluation("first", 0.71)
    metrics = {"auc": 0.7, "hit_rate@10": 1.0, "ndcg@10": 0.4}
    setup = one.setup | ({} if num_candidates is None else {"num_candidates": num_candidates})
    one = dataclasses.replace(one, results=[dataclasses.replace(one.results[0], metrics=metrics)], setup=setup)

    assert ("hit@10" in text(one)) == is_shown
    assert ("hit_rate@10" in markdown_table([one])) == is_shown
    assert "ndcg@10" in text(one)  # Among few candidates too, the rank decides it.


def test_comparison_table_fits_80_columns() -> None:
    table = comparison_table([evaluation("demo-sli_rec", 0.71)])

    console = Console(width=80)
    assert table.__rich_measure__(console, console.options).maximum <= 80


def test_markdown_table_gives_the_margin_of_every_number() -> None:
    first = evaluation("first", 0.71)
    model = dataclasses.replace(first.results[0], intervals={"auc": (0.70, 0.73)})

    shown = markdown_table([dataclasses.replace(first, results=[model, first.results[1]]), evaluation("second", 0.82)])

    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in shown.splitlines() if line.startswith("| ")]
    assert rows == [["ranking", "auc"], ["popularity", "0.6000"], ["first", "0.7100 ± 0.0150"], ["second", "0.8200"]]


def test_markdown_table_refuses_other_candidates() -> None:
    with pytest.raises(DataError, match="'first' and 'second' were evaluated on other candidates"):
        markdown_table([evaluation("first", 0.71), evaluation("second", 0.82, candidates_key="other")])


def test_print_comparison_names_the_run_that_was_not_evaluated(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"runs/missing/evaluations/test-sampled.json: not there. Run the job"):
        print_comparison(Storage(str(tmp_path)), ["missing"], EvaluationConfig())


def test_read_evaluation_passes_over_another_format(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    old = dataclasses.replace(evaluation("old", 0.7), format_version=0)

    storage.write_bytes(evaluation_path("old", "test", "sampled"), old.to_json().encode())

    assert read_evaluation(storage, "old", "test", "sampled") is None


def test_read_evaluation_says_that_a_file_is_broken(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    storage.write_bytes(evaluation_path("cut", "test", "sampled"), b'{"format_version": 1, "run"')

    with pytest.raises(DataError, match="not a readable evaluation"):
        read_evaluation(storage, "cut", "test", "sampled")
