import base64
import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
from seqrec.evaluation.report.report import build_report, write_report
from seqrec.evaluation.results import evaluation_path
from tests.evaluation.evaluation_by_hand import MANIFEST, evaluation

HISTORY = [{"epoch": 1.0, "loss": 1.6, "group_auc": 0.5}, {"epoch": 2.0, "loss": 1.2, "group_auc": 0.66}]


@pytest.fixture(scope="module")
def page() -> str:
    other = evaluation("books-b", 0.75, "reference")
    return build_report("books-a2svd", {"books-a2svd": [evaluation()], "books-b": [other]}, {"books-a2svd": HISTORY})


def test_build_report_asks_nothing_of_the_network(page: str) -> None:
    without_images = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", "", page)

    assert "http" not in without_images
    assert "<script" not in without_images
    assert set(re.findall(r'(?:src|href)="([^"]*)"', without_images)) == {
        *("", "data:,", "#test--sampled", "#runs-beside-each-other", "#training", "#lineage")
    }


def test_build_report_shows_every_number_with_its_interval(page: str) -> None:
    assert "<td>0.8000<small>0.7900–0.8100</small></td>" in page
    assert "<td>+0.1000</td><td>+0.0000 to +0.2000</td><td>0.0300</td>" in page


def test_build_report_shows_how_runs_beside_each_other_differ(page: str) -> None:
    section = page[page.index('id="runs-beside-each-other"') : page.index('id="training"')]

    assert "<th>run</th><th>compatibility</th>" in section
    assert section.index("corrected") < section.index("reference")


def test_build_report_keeps_accuracy_and_the_kind_of_items_apart(page: str) -> None:
    tables = re.findall(r"<thead><tr>(.*?)</tr>", page)
    heads = [re.findall(r"<th>(.*?)</th>", table) for table in tables]

    assert heads[0] == ["ranking", "auc", "group_auc", "mrr", "ndcg@10", "hit_rate@10"]
    assert heads[1] == ["ranking", "coverage@10", "average_popularity@10", "novelty@10"]
    assert "<td>0.1250</td><td>1,234.5</td><td>12.3</td>" in page


def test_build_report_leaves_out_what_cannot_vary() -> None:
    among_ten = dataclasses.replace(evaluation(), setup=evaluation().setup | {"num_candidates": 10})

    page = build_report("books-a2svd", {"books-a2svd": [among_ten]}, {"books-a2svd": []})

    assert "<th>hit_rate@10</th>" not in page
    assert "Chart: hit_rate@10" not in page
    assert "<th>ndcg@10</th>" in page


def test_build_report_draws_every_run_beside_the_others(page: str) -> None:
    section = page[page.index('id="runs-beside-each-other"') : page.index('id="training"')]

    drawn = re.findall(r'alt="Chart: (.*?)"', section)
    assert drawn == [f"{name} of every run" for name in ("auc", "group_auc", "ndcg@10", "hit_rate@10")]
    svg = base64.b64decode(re.findall(r"base64,([A-Za-z0-9+/=]+)", section)[0]).decode()
    assert "books-a2svd" in svg
    assert "books-b" in svg


def test_build_report_escapes_what_it_is_given(page: str) -> None:
    assert "books &lt;&amp;&gt;" in page
    assert "books <&>" not in page


def test_build_report_is_the_same_every_time(page: str) -> None:
    other = evaluation("books-b", 0.75, "reference")

    again = build_report("books-a2svd", {"books-a2svd": [evaluation()], "books-b": [other]}, {"books-a2svd": HISTORY})

    assert again == page


def test_write_report_collects_the_stored_evaluations(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    attempt = Dataset(storage, "runs", "books-a2svd").begin(Recipe(stage="train", settings={}, inputs={}))
    attempt.publish(counts={}, content=MANIFEST["content"])
    for protocol in ("sampled", "full"):
        each = dataclasses.replace(evaluation(), protocol=protocol)
        storage.write_bytes(evaluation_path("books-a2svd", "test", protocol), each.to_json().encode())

    write_report(storage, "books-a2svd")

    page = storage.read_bytes("runs/books-a2svd/evaluations/report.html").decode()
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["test, sampled", "test, full", "Lineage"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser chromium")
@pytest.mark.parametrize("width", [390, 1400])
def test_report_is_drawn_by_a_browser_without_complaint(page: str, width: int, tmp_path: Path) -> None:
    # A browser window has a least width; a frame in it has none.
    frame = f"""<iframe src="report.html" width="{width}" height="900"></iframe>
        <script>addEventListener("message", event => {{ document.title = event.data }})</script>"""
    probe = """<script>addEventListener("load", () => {
        const images = [...document.images];
        const drawn = images.filter(i => i.complete && i.naturalWidth > 50 && i.getBoundingClientRect().width > 100);
        const excess = document.documentElement.scrollWidth - innerWidth;
        parent.postMessage(`${drawn.length} of ${images.length}, too wide by ${excess}`, "*");
    })</script>"""
    (tmp_path / "frame.html").write_text(frame)
    (tmp_path / "report.html").write_text(page.replace("</body>", probe + "</body>"))

    ran = subprocess.run(
        [
            *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"),
            *(f"--user-data-dir={tmp_path}/profile", "--virtual-time-budget=5000", "--window-size=1500,1000"),
            f"file://{tmp_path}/frame.html",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )

    title = re.search(r"<title>(.*?)</title>", ran.stdout)
    assert title is not None
    drawn, images, excess = map(int, re.findall(r"-?\d+", title[1]))
    assert drawn == images >= 9
    assert excess <= 0
    assert "CONSOLE" not in ran.stderr
