import bz2
import gzip
import json
import lzma

import pytest
import zstandard

from seqrec.core.errors import DataError
from seqrec.core.manifest import Dataset, Recipe
from seqrec.core.storage import Storage
from seqrec.ingestion.config import IngestionConfig, SourceConfig
from seqrec.ingestion.stage import run_ingest


def test_ingest_reads_all_there_is_of_a_review(ingested, raw, review):
    line = review(reviewerID="A9", asin="0001", overall=4.0, unixReviewTime=1_529_193_600, vote="1,234")

    made = ingested(raw("reviews.json", [line]))

    rows = made.rows("reviews", "user_id", "item_id", "rating", "timestamp", "verified", "votes", "group")
    assert rows == [("A9", "0001", 4.0, 1_529_193_600, True, 1234, None)]


def test_ingest_reads_votes_of_every_edition_and_loses_no_review_to_odd_ones(ingested, raw, review):
    cases = [({"helpful": [7, 9]}, 7), ({"vote": "2"}, 2), ({"vote": {"odd": 1}}, None), ({}, None)]
    paths = [raw(f"{n}.json", [review(asin=f"B{n}", **fields)]) for n, (fields, _) in enumerate(cases)]

    rows = ingested(paths).rows("reviews", "item_id", "votes")

    assert rows == [(f"B{n}", votes) for n, (_, votes) in enumerate(cases)]


def test_ingest_takes_the_group_from_the_name_of_the_file(ingested, raw, review):
    paths = [raw("reviews_Movies_and_TV_5.json", [review()]), raw("mine.json", [review(asin="B2")])]

    assert ingested(paths).rows("reviews", "item_id", "group") == [("B1", "Movies & TV"), ("B2", None)]


def test_ingest_reads_2023_reviews(ingested, raw):
    line = {"rating": 3.0, "asin": "B5", "parent_asin": "B1", "user_id": "AE", "timestamp": 1588687728923}
    path = raw("Video_Games.jsonl.gz", [json.dumps(line | {"helpful_vote": 12, "verified_purchase": False})])

    rows = ingested(path).rows("reviews", "user_id", "item_id", "rating", "timestamp", "verified", "votes", "group")

    assert rows == [("AE", "B1", 3.0, 1588687728, False, 12, "Video Games")]


def test_ingest_reads_an_archive_with_a_longer_window_than_zstd_has_by_itself(ingested, raw):
    line = json.dumps({"rating": 3.0, "parent_asin": "B1", "user_id": "AE", "timestamp": 1588687728923})
    settings = zstandard.ZstdCompressionParameters(window_log=28)  # Twice as long as a decompressor takes by default.
    archive = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    path = raw("Video_Games.jsonl.zst", archive.compress(f"{line}\n".encode()) + archive.flush())

    assert ingested(path).rows("reviews", "user_id", "item_id", "timestamp") == [("AE", "B1", 1588687728)]


def test_ingest_reads_2023_ratings(ingested, raw):
    lines = [
        "user_id,parent_asin,rating,timestamp",
        "AFKZENTNBQ7A7V7UXW5JJI6UGRYQ,B0BK9CGZRP,5.0,1588687728923",
        "AFKZENTNBQ7A7V7UXW5JJI6UGRYQ,B000H702ZY,3.0,1588615855070",
        "AGBFYI2DDIKXC5Y4FARTYDTQBMFQ,B0BK9CGZRP,1.0,1405543200999",
    ]

    made = ingested(raw("Software.csv.gz", lines))

    assert made.rows("reviews", "user_id", "item_id", "rating", "timestamp") == [
        ("AFKZENTNBQ7A7V7UXW5JJI6UGRYQ", "B000H702ZY", 3.0, 1588615855),
        ("AFKZENTNBQ7A7V7UXW5JJI6UGRYQ", "B0BK9CGZRP", 5.0, 1588687728),
        ("AGBFYI2DDIKXC5Y4FARTYDTQBMFQ", "B0BK9CGZRP", 1.0, 1405543200),
    ]
    assert made.counts_of("Software.csv.gz")["blank"] == 1


@pytest.mark.parametrize("line", ["B00005N7P0,AH2IFH762VY5U,5.0,1005177600", "AH2IFH762VY5U,B00005N7P0,5.0,1005177600"])
def test_ingest_tells_the_order_of_ratings(ingested, raw, line):
    assert ingested(raw("ratings.csv", [line] * 3)).rows("reviews", "user_id", "item_id")[0] == (
        "AH2IFH762VY5U",
        "B00005N7P0",
    )


def test_ingest_takes_days_up_to_the_last_of_the_calendar(ingested, raw, review):
    last = 253_402_300_799  # 9999-12-31 23:59:59
    path = raw("reviews.json", [review(unixReviewTime=last), review(unixReviewTime=last + 1)])

    made = ingested(path, last_day="9999-12-31", max_reject_fraction=1.0)

    assert made.rows("reviews", "timestamp") == [(last,)]
    assert made.counts_of("reviews.json")["rejects"] == {"bad_timestamp": 1}


def test_ingest_takes_the_order_of_ratings_that_it_is_told(ingested, raw):
    path = raw("ratings.csv", ["u1,i1,5.0,1400000000"])

    assert ingested(path, csv_columns="user-item").rows("reviews", "user_id", "item_id") == [("u1", "i1")]


def test_ingest_reads_plain_gz_zst_and_misnamed_files_alike(ingested, raw, review):
    lines = [review(asin=f"B{number:02d}") for number in range(50)]
    text = "".join(line + "\n" for line in lines).encode()
    gzipped = gzip.compress(text)
    files = {
        "plain.json": text,
        "frames.json.zst": zstandard.compress(text[:500]) + zstandard.compress(text[500:]),
        "gzipped.json": gzipped,
        "gzipped.gz": gzipped,
        "streams.json.xz": lzma.compress(text[:500]) + lzma.compress(text[500:]),
        "streams.json.bz2": bz2.compress(text[:500]) + bz2.compress(text[500:]),
        "xz.json.gz": lzma.compress(text),
        "two members.json": gzip.compress(text[:700]) + gzip.compress(text[700:]) + bytes(512),
        "really plain.json.gz": text,
        "zeros after.json.gz": gzipped + bytes(512),  # Spark takes no zeros there.
    }
    place = raw("x", b"").parent
    for name, content in files.items():
        (place / name).write_bytes(content)  # As it is, whatever the name.

    made = ingested([place / name for name in files])

    rows = made.rows("reviews")  # Sorted, with the hash of each line.
    assert [row[1] for row in rows[:: len(files)]] == [f"B{number:02d}" for number in range(50)]
    assert rows == [row for row in rows[:: len(files)] for _ in files]
    assert {made.counts_of(name)["written"] for name in files} == {50}


def test_ingest_is_the_same_for_any_order_of_lines_and_any_split_into_files(ingested, raw, review):
    lines = [review(asin=f"B{n % 7}", reviewerID=f"A{n % 11}", unixReviewTime=10**9 + n) for n in range(60)]
    lines += lines[:3]  # Duplicates are kept.
    one = raw("one.json", lines)
    shuffled = raw("shuffled.json", lines[::-1][20:] + lines[::-1][:20])
    parts = [raw(f"parts/{n}.json.gz", lines[n::4]) for n in range(4)]

    places = {"one": one, "shuffled": shuffled, "parts": parts[0].parent}
    made = {name: ingested(place, name=name) for name, place in places.items()}

    assert len({result.digest for result in made.values()}) == 1
    assert made["one"].rows("reviews") == made["shuffled"].rows("reviews") == made["parts"].rows("reviews")
    assert made["parts"].manifest.counts["reviews"] == 63


def test_ingest_notices_a_duplicate_more(ingested, raw, review):
    once = ingested(raw("once.json", [review()])).digest

    assert ingested(raw("twice.json", [review()] * 2)).digest != once


def test_ingest_reads_a_glob_and_names_with_brackets(ingested, raw, review):
    raw("year 2018/a[1].json", [review(asin="B1")])
    raw("year 2019/b{x}.json", [review(asin="B2")])
    folder = raw("other/c.json", [review(asin="B3")]).parent.parent

    made = ingested(f"{folder}/year*/*.json")

    assert made.rows("reviews", "item_id") == [("B1",), ("B2",)]
    assert made.counts_of("a[1].json")["written"] == 1


def test_ingest_counts_files_whose_names_spark_quotes(ingested, raw, review):
    names = [
        "nb\u00a0sp",
        "\u65e5\u672c\u3000\u8a9e",
        "ctl\u0085",
        "line\u2028end",
        "50% of #1; a&b=~'(caf\u00e9)",
        "tab\t",
    ]
    reviews = [raw(f"{name}.json", [review()] * n) for n, name in enumerate(names, 1)]
    metadata = [raw(f"meta {name}.json", [json.dumps({"asin": f"B{n}"})] * 2) for n, name in enumerate(names, 1)]

    made = ingested(reviews, metadata)

    assert [made.counts_of(path.name)["written"] for path in reviews] == [1, 2, 3, 4, 5, 6]
    assert {made.counts_of(path.name)["repeated"] for path in metadata} == {1}


def test_ingest_counts_each_file_for_itself(ingested, raw, review):
    paths = [raw(f"{n:03d}.json", [review()] * n + [""] * (n % 3) + ["broken"] * (n % 2)) for n in range(1, 41)]

    made = ingested(paths[0].parent, max_reject_fraction=1.0)

    for n in range(1, 41):
        counts = made.counts_of(f"{n:03d}.json")
        assert (counts["written"], counts["blank"]) == (n, n % 3)
        assert counts["rejects"] == ({"malformed": 1} if n % 2 else {})


def test_ingest_reads_pieces_as_it_reads_the_whole(ingested, raw, review):
    lines = [review(asin=f"B{n}", reviewText=f"{n * 7919:x}" * 60) for n in range(6000)]
    whole = ingested(raw("whole.json.gz", lines))
    text = "\n".join(lines).encode()  # No newline at the end.

    pieces = ingested(raw("pieces.json.zst", zstandard.compress(text)), piece_mb=1)

    assert pieces.digest == whole.digest
    assert pieces.counts_of("pieces.json.zst")["lines"] == 6000


def test_ingest_keeps_the_first_line_of_an_item(ingested, raw, review):
    lines = [json.dumps({"asin": "B1", "title": f"title {n}"}) for n in range(50)]
    first = raw("meta 1.json", [json.dumps({"asin": "B0", "title": "zero"}), *lines[7:]])
    second = raw("meta 2.json", lines)

    made = ingested(raw("reviews.json", [review()]), [second, first])

    assert made.rows("items", "item_id", "title") == [("B0", "zero"), ("B1", "title 7")]
    counts = made.counts_of("meta 1.json")
    assert (counts["lines"], counts["written"], counts["repeated"]) == (44, 2, 42)
    assert made.counts_of("meta 2.json")["repeated"] == 50


def test_ingest_reads_all_there_is_of_2018_metadata(ingested, raw, review):
    line = {
        "asin": "0001",
        "category": ["Clothing, Shoes &amp; Jewelry", "Men", "</span></span></span>", "100% cotton"],
        "title": "Caf&eacute; &quot;T&quot;\n shirt",
        "brand": "",
        "price": "$1,234.50",
        "main_cat": '<img src="x.png" class="c" alt="AMAZON FASHION"/>',
        "also_buy": ["B1", "", "B2"],
        "also_view": [],
        "feature": [],
        "rank": ["no list of text", {"a": 1}],
    }

    made = ingested(raw("reviews.json", [review()]), raw("meta.json", [json.dumps(line)]))

    assert made.rows("items") == [
        (
            "0001",
            "Men",
            ["Clothing, Shoes & Jewelry", "Men"],
            "AMAZON FASHION",
            'Café "T" shirt',
            None,
            1234.5,
            ["B1", "B2"],
            [],
        )
    ]


def test_ingest_reads_2023_metadata(ingested, raw, review):
    line = {
        "main_category": "Software",
        "title": "Sheets",
        "price": 9.99,
        "store": "Acme",
        "categories": ["Software", "Office"],
        "features": [],
        "details": {"a": 1},
        "parent_asin": "B1",
        "bought_together": None,
    }

    made = ingested(raw("reviews.json", [review()]), raw("meta_Software.jsonl", [json.dumps(line)]))

    assert made.rows("items") == [("B1", "Office", ["Software", "Office"], "Software", "Sheets", "Acme", 9.99, [], [])]


def test_ingest_reads_2014_metadata_as_literals(ingested, raw, review, tmp_path):
    literal = {
        "asin": "B1",
        "title": 'It\'s "Rock" &amp; Roll',
        "price": 9.49,
        "related": {"also_bought": ["B2"], "also_viewed": ["B3"], "bought_together": ["B4"]},
        "categories": [["CDs & Vinyl", "Rock"], ["Digital Music", "Pop"]],
        "salesRank": {"Music": 5},
    }
    marker = tmp_path / "it ran"
    code = f"{{'asin': __import__('pathlib').Path({str(marker)!r}).touch()}}"
    path = raw("meta_Digital_Music.json", [repr(literal), code, "{'asin': 'B9'", "{'asin': -('x' * 9)}"])

    made = ingested(raw("reviews.json", [review()]), path, max_reject_fraction=1.0)

    assert made.rows("items") == [
        ("B1", "Rock", ["CDs & Vinyl", "Rock"], "Digital Music", 'It\'s "Rock" & Roll', None, 9.49, ["B2"], ["B3"])
    ]
    assert made.counts_of("meta_Digital_Music.json")["rejects"] == {"malformed": 3}
    assert not marker.exists()


def test_ingest_is_skipped_until_a_file_changes(ingested, raw, review):
    path = raw("reviews.json", [review()])
    first = ingested(path).manifest

    again = ingested(path).manifest
    raw("reviews.json", [review(), review(asin="B2")])
    changed = ingested(path).manifest

    assert again == first
    assert changed.id != first.id
    assert changed.counts["reviews"] == 2


@pytest.mark.parametrize(("made_by", "kind"), [("synthesize", "download"), ("download", "synthetic")])
def test_ingest_refuses_what_another_source_has_left_there(spark, raw, review, tmp_path, made_by, kind):
    storage = Storage(str(tmp_path))
    attempt = Dataset(storage, "raw", "toys").begin(Recipe(stage=made_by, settings={}, inputs={}))
    attempt.publish(counts={}, details={"reviews": [str(raw("reviews.json", [review()]))]})
    job = {"download": "download", "synthetic": "synthesize"}[kind]

    with pytest.raises(DataError, match=f"raw/toys: made by the job '{made_by}'.* Run the job '{job}' first"):
        run_ingest(spark, storage, "toys", SourceConfig(kind=kind), IngestionConfig(), False)
