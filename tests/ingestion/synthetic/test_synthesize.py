import csv
import gzip
import json
import re

import pytest

from seqrec.core.columns import TIMESTAMP
from seqrec.core.storage import Storage
from seqrec.ingestion.config import IngestionConfig, SourceConfig, SynthesisConfig
from seqrec.ingestion.stage import run_ingest, run_synthesize
from seqrec.ingestion.synthetic.events import EVENT_NUMBER, ITEM_NUMBER, USER_NUMBER
from seqrec.ingestion.synthetic.lines import review_lines

SMALL = {"num_reviews": 1000, "num_users": 100, "num_items": 60, "num_clusters": 4}


@pytest.fixture
def synthesized(spark, tmp_path):
    def run(**changes):
        storage = Storage(str(tmp_path))
        return run_synthesize(spark, storage, "made", SynthesisConfig(**(SMALL | changes)), 1, False), storage

    return run


def lines(manifest, storage, folder):
    paths = [file["path"] for file in manifest.details["files"] if f"/{folder}/" in file["path"]]
    texts = [storage.local(path).read_bytes() for path in paths]
    plain = [gzip.decompress(text) if path.endswith(".gz") else text for path, text in zip(paths, texts, strict=True)]
    return b"".join(plain).decode().splitlines()


def test_run_synthesize_writes_2018_reviews(synthesized):
    manifest, storage = synthesized(text_words=20)

    reviews = [json.loads(line) for line in lines(manifest, storage, "reviews")]

    assert len(reviews) == 1000
    assert all(re.fullmatch("A[0-9A-F]{13}", review["reviewerID"]) for review in reviews)
    assert all(re.fullmatch("B[0-9A-F]{9}|0[0-9]{9}|[0-9]{10}", review["asin"]) for review in reviews)
    assert {type(review["unixReviewTime"]) for review in reviews} == {int}
    assert {review["overall"] for review in reviews} == {1.0, 2.0, 3.0, 4.0, 5.0}
    words = sum(len(review.get("reviewText", "").split()) for review in reviews) / 1000
    assert 14 < words < 28
    assert any("," in review.get("vote", "") for review in reviews)
    assert any(re.fullmatch("0[0-9]{9}", review["asin"]) for review in reviews)


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Apia", "Asia/Tokyo"])
def test_review_lines_do_not_depend_on_the_time_zone(spark, zone):
    days = {15_338: "12 30, 2011", 17_780: "09 6, 2018", 9_500: "01 5, 1996"}  # Apia had no 30 December 2011.
    schema = f"{USER_NUMBER} long, {EVENT_NUMBER} int, {ITEM_NUMBER} long, {TIMESTAMP} long"
    made = spark.createDataFrame([(7, 0, 3, day * 86_400) for day in days], schema)
    spark.conf.set("spark.sql.session.timeZone", zone)
    try:
        texts = review_lines(made, SynthesisConfig(), 1).select("reviewTime").collect()
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")

    assert [text for (text,) in texts] == list(days.values())


def test_run_synthesize_writes_metadata_of_every_item(synthesized):
    manifest, storage = synthesized()

    items = [json.loads(line) for line in lines(manifest, storage, "metadata")]
    reviewed = {json.loads(line)["asin"] for line in lines(manifest, storage, "reviews")}

    assert len({item["asin"] for item in items}) == 60
    assert reviewed <= {item["asin"] for item in items}
    assert len({item["category"][-1] for item in items}) > 10
    assert all(set(item["also_buy"]) <= {other["asin"] for other in items} for item in items)


def test_run_synthesize_writes_ratings(synthesized):
    manifest, storage = synthesized(format="csv")

    rows = list(csv.reader(lines(manifest, storage, "reviews")))

    assert len(rows) == 1000
    assert {len(row) for row in rows} == {4}
    assert re.fullmatch("B[0-9A-F]{9}|[0-9]{10}", rows[0][0])
    assert rows[0][1].startswith("A")


def test_run_synthesize_does_nothing_the_second_time(synthesized):
    first, _ = synthesized()

    assert synthesized()[0] == first


def test_run_ingest_reads_what_was_synthesized(spark, synthesized):
    _, storage = synthesized()

    manifest = run_ingest(spark, storage, "made", SourceConfig(), IngestionConfig(), False)

    assert manifest.counts == {"reviews": 1000, "items": 60, "rejects": 0}
