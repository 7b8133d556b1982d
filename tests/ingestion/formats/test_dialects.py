"""A record gives the same row however it is written; each dialect is a file, all of them one Spark job."""

import csv
import io
import json
import random
from collections import defaultdict
from urllib.parse import unquote

import pytest

from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.formats.line_sources import open_sources
from seqrec.ingestion.formats.parsing import parsed_metadata, parsed_reviews

CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
# What a writer has to quote: signs of both notations, control characters, other scripts, a character of two code units.
PIECES = [
    "a b",
    "it's",
    '"x"',
    "\\",
    "\n",
    "\t",
    "{",
    "}",
    "'",
    "é",
    "日本",
    "\U0001f600",
    "null",
    "None",
    "},{",
    ",",
    ";",
    "\x7f",
]


def words(draw):
    return "".join(draw.choices(PIECES, k=draw.randint(0, 8)))


def some_records(number, seed, *, is_of_2023=False):
    draw = random.Random(seed)
    return [
        {
            "user": "A" + "".join(draw.choices(CAPITALS, k=27 if is_of_2023 else 13)),
            "item": "B" + "".join(draw.choices(CAPITALS, k=9))
            if draw.random() < 0.8
            else f"{draw.randrange(10**9):09d}X",
            "rating": draw.choice([1.0, 2.0, 3.0, 4.0, 5.0]),
            "milliseconds": draw.randrange(10**12, 15 * 10**11),
            "verified": draw.choice([True, False, None]),
            "votes": draw.choice([None, 0, 3, 1234]),
            "text": words(draw),
        }
        for _ in range(number)
    ]


def seconds(record):
    return record["milliseconds"] // 1000


def of_2018(record):
    fields = {
        "overall": record["rating"],
        "verified": record["verified"],
        "reviewerID": record["user"],
        "asin": record["item"],
        "reviewText": record["text"],
        "unixReviewTime": seconds(record),
        "vote": None if record["votes"] is None else f"{record['votes']:,}",
    }
    return {name: value for name, value in fields.items() if value is not None}


def of_2014(record):
    fields = of_2018(record) | {"helpful": [record["votes"], 9999], "reviewTime": "09 13, 2009"}
    del fields["verified" if "verified" in fields else "reviewTime"]
    fields.pop("vote", None)
    return fields if record["votes"] is not None else {k: v for k, v in fields.items() if k != "helpful"}


def of_2023(record):
    fields = {
        "rating": record["rating"],
        "title": record["text"],
        "asin": "B999999999",
        "parent_asin": record["item"],
        "user_id": record["user"],
        "timestamp": record["milliseconds"],
        "helpful_vote": record["votes"],
        "verified_purchase": record["verified"],
    }
    return {name: value for name, value in fields.items() if value is not None}


def with_nulls(fields):
    names = ["verified", "vote", "style", "image"] if "reviewerID" in fields else ["helpful_vote", "verified_purchase"]
    return dict.fromkeys(names) | fields


def with_extras(fields):
    return {"style": {"Size:": "'s", "n": [1, {"x": None}]}, "z": True, **fields, "price": 1.5}


def reordered(fields):
    return dict(sorted(fields.items(), key=lambda pair: pair[0][::-1]))


def as_text(fields):
    changed = dict(fields)
    for name in ("overall", "unixReviewTime", "rating", "timestamp", "verified", "verified_purchase", "helpful_vote"):
        if name in changed:
            changed[name] = str(changed[name])
    return changed


def with_float_times(fields):
    return {name: float(value) if name in ("unixReviewTime", "timestamp") else value for name, value in fields.items()}


def with_exponents(fields):
    """1400000000 as "1.400000000000e+09"."""
    return {
        name: f"{value:.12e}" if name in ("unixReviewTime", "timestamp") else value for name, value in fields.items()
    }


CHANGES = {
    "as is": lambda fields: fields,
    "nulls": with_nulls,
    "extras": with_extras,
    "reordered": reordered,
    "text": as_text,
    "float times": with_float_times,
    "exponents": with_exponents,
}
CONVERTED = {"text", "float times", "exponents"}
EDITIONS = {"2014": of_2014, "2018": of_2018, "2023": of_2023}
WRITERS = {"json": json.dumps, "json utf-8": lambda fields: json.dumps(fields, ensure_ascii=False), "literal": repr}


def record_files(records):
    """Name of a dialect -> its lines."""
    files = {
        f"{edition}, {change}, {notation}": [write(CHANGES[change](make(record))) for record in records]
        for edition, make in EDITIONS.items()
        for change in CHANGES
        for notation, write in WRITERS.items()
    }
    # Every line of another dialect.
    names, draw = list(files), random.Random(7)
    files["mixed"] = [files[draw.choice(names)][number] for number in range(len(records))]
    return files


def csv_line(fields, separator, quoting):
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator, quoting=quoting, lineterminator="").writerow(fields)
    return buffer.getvalue()


def rating_files(records):
    def fields(record, order, time):
        named = {"user": record["user"], "item": record["item"], "rating": record["rating"], "time": time(record)}
        return [named[name] for name in order.split()]

    def file(order, time, separator=",", quoting=csv.QUOTE_MINIMAL, header=None, end=""):
        lines = [] if header is None else [csv_line(header, separator, quoting) + end]
        return lines + [csv_line(fields(record, order, time), separator, quoting) + end for record in records]

    user, item, all_quoted = "user item rating time", "item user rating time", csv.QUOTE_ALL
    header = ["user_id", "parent_asin", "rating", "timestamp"]
    milliseconds = lambda record: record["milliseconds"]  # noqa: E731
    files = {
        "2014": file(user, seconds),
        "2018": file(item, seconds, end="\r"),
        "2023": file(user, milliseconds, header=header),
        "2023, quoted": file(user, milliseconds, quoting=all_quoted, header=header, end="\r"),
        "2023, no header": file(user, milliseconds),
        "2023, reordered": file(
            "time rating item user", milliseconds, header=["timestamp", "rating", "parent_asin", "user_id"]
        ),
        "2018 names": file(item, seconds, header=["asin", "reviewerID", "overall", "unixReviewTime"]),
        "tabs": file(user, seconds, "\t"),
        "semicolons, quoted": file(item, seconds, ";", all_quoted),
        "pipes": file(user, seconds, "|"),
        "converted, floats": file(item, lambda record: f"{seconds(record)}.0"),
        "converted, exponents": file(user, lambda record: f"{seconds(record):.9e}", quoting=all_quoted),
    }
    same = [name for name in files if name in ("2014", "tabs", "pipes")]
    files["mixed separators"] = [files[same[number % len(same)]][number] for number in range(len(records))]
    return files


def check_reviews(spark, folder, files, expected):
    """Every line of every file gives the row that `expected` makes of its record."""
    folder.mkdir()
    for number, lines in enumerate(files.values()):
        (folder / f"{number:03d}.txt").write_bytes("".join(f"{line}\n" for line in lines).encode())
    config = IngestionConfig()
    sources = open_sources([str(folder)], "source.reviews", config, metadata=False)
    columns = ("user_id", "item_id", "rating", "timestamp", "verified", "votes", "state")
    rows = defaultdict(list)
    for path, *row in parsed_reviews(spark, sources, config).select("file_path", *columns).collect():
        rows[int(unquote(path).rpartition("/")[2][:3])].append(tuple(row))

    def in_order(all_rows):
        return sorted(all_rows, key=repr)

    for number, name in enumerate(files):
        found = in_order(row for row in rows[number] if row[-1] != "blank")
        assert found == in_order(expected(name)), name


def expected_of_records(records):
    def rows(name):
        edition, _, rest = name.partition(", ")
        state = "converted" if rest.partition(", ")[0] in CONVERTED else "good"
        return [
            (
                r["user"],
                r["item"],
                r["rating"],
                seconds(r),
                None if edition == "2014" else r["verified"],
                r["votes"],
                state,
            )
            for r in records
        ]

    return rows


def is_2014_verified(record):
    """2014 has no `verified`; the files here leave it out."""
    return {**record, "verified": None}


def check_all(spark, folder, number, seed):
    records = [
        {**record, "milliseconds": record["milliseconds"] // 1000 * 1000} for record in some_records(number, seed)
    ]
    files = record_files(records)
    mixed = files.pop("mixed")
    check_reviews(spark, folder / "records", files, expected_of_records(records))
    users = {record["user"]: record for record in records}
    (folder / "mixed").mkdir()
    (folder / "mixed" / "0.txt").write_text("".join(f"{line}\n" for line in mixed))
    config = IngestionConfig()
    sources = open_sources([str(folder / "mixed")], "source.reviews", config, metadata=False)
    rows = parsed_reviews(spark, sources, config).select("user_id", "item_id", "rating", "timestamp", "state").collect()
    assert {row[0]: tuple(row[1:4]) for row in rows} == {
        user: (one["item"], one["rating"], seconds(one)) for user, one in users.items()
    }
    assert {row[4] for row in rows} == {"good", "converted"}


def check_ratings(spark, folder, number, seed):
    records = some_records(number, seed, is_of_2023=seed % 2 == 1)

    def rows(name):
        state = "converted" if name.startswith("converted") else "good"
        return [(r["user"], r["item"], r["rating"], seconds(r), None, None, state) for r in records]

    check_reviews(spark, folder / "ratings", rating_files(records), rows)


def test_a_review_gives_the_same_row_in_every_dialect(spark, tmp_path):
    check_all(spark, tmp_path, number=40, seed=1)


def test_a_rating_gives_the_same_row_in_every_dialect(spark, tmp_path):
    check_ratings(spark, tmp_path, number=300, seed=3)


@pytest.mark.slow
def test_ten_thousand_records_give_the_same_rows_in_every_dialect(spark, tmp_path):
    check_all(spark, tmp_path, number=10_000, seed=4)
    check_ratings(spark, tmp_path, number=10_000, seed=6)


def items(number, seed):
    draw = random.Random(seed)
    return [
        {
            "item": f"B{n:09d}",
            "path": ["Toys & Games", *draw.choices(["Puzzles", "Café", "It's"], k=draw.randint(0, 2))],
            "title": "Title " + draw.choice(["'", '"', "\\", "é", "\U0001f600"]) + str(n),
            "brand": draw.choice(["Acme", "O'Neill"]),
            "price": draw.choice([9.49, 1234.5]),
            "also": draw.choices(["B000000001", "B000000002"], k=draw.randint(0, 2)),
        }
        for n in range(number)
    ]


def metadata_files(all_items):
    def of_2014(item):
        return {
            "asin": item["item"],
            "categories": [item["path"], ["Other"]],
            "title": item["title"],
            "brand": item["brand"],
            "price": item["price"],
            "related": {"also_bought": item["also"], "also_viewed": []},
        }

    def of_2018(item):
        fields = {"asin": item["item"], "category": item["path"], "also_buy": item["also"], "also_view": []}
        return fields | {"title": item["title"], "brand": item["brand"], "price": f"${item['price']:,.2f}"}

    def of_2023(item):
        fields = {"parent_asin": item["item"], "categories": item["path"], "store": item["brand"]}
        return fields | {"title": item["title"], "price": item["price"], "bought_together": None}

    def with_nulls_and_extras(fields):
        return reordered({"zzz": None, "imUrl": "x", "details": {"a": [1, None]}} | fields)

    editions = {"2014": of_2014, "2018": of_2018, "2023": of_2023}
    return {
        f"{edition}, {change.__name__}, {notation}": [write(change(make(item))) for item in all_items]
        for edition, make in editions.items()
        for change in (dict, with_nulls_and_extras)
        for notation, write in (("json", json.dumps), ("literal", repr))
    }


def test_an_item_gives_the_same_row_in_every_dialect(spark, tmp_path):
    all_items = items(50, seed=5)
    files = metadata_files(all_items)
    for number, lines in enumerate(files.values()):
        (tmp_path / f"{number:03d}.txt").write_text("".join(f"{line}\n" for line in lines))
    config = IngestionConfig()
    sources = open_sources([str(tmp_path)], "source.metadata", config, metadata=True)

    columns = ("item_id", "category_path", "title", "brand", "price", "also_buy", "state")
    rows = defaultdict(list)
    for path, *row in parsed_metadata(spark, sources, config).select("file_path", *columns).collect():
        rows[int(path.rpartition("/")[2][:3])].append(row)

    for number, name in enumerate(files):
        expected = [
            [i["item"], i["path"], i["title"], i["brand"], i["price"], [] if "2023" in name else i["also"], "good"]
            for i in all_items
        ]
        assert sorted(rows[number]) == expected, name


def test_a_file_of_reviews_as_literals_is_read_under_reviews(ingested, raw):
    lines = [
        repr({"reviewerID": f"A{n}", "asin": "B1", "overall": 4.0, "unixReviewTime": 1_400_000_000}) for n in range(20)
    ]

    made = ingested(raw("reviews.json", lines))

    assert made.rows("reviews", "user_id", "timestamp") == sorted((f"A{n}", 1_400_000_000) for n in range(20))
    assert made.counts_of("reviews.json")["converted"] == 0


def test_ingest_converts_what_it_can_without_loss_and_counts_it(ingested, raw, review):
    times = [1_400_000_000, 1_400_000_000.0, "1400000000", "1.4e9", 1_400_000_000.5, "yesterday", "1400000000.5"]
    lines = [review(unixReviewTime=time, reviewerID=f"A{n}") for n, time in enumerate(times)]
    lines += [review(reviewerID="A7").replace("1400000000", "1.4e9"), review(reviewerID="A8", overall="5.0")]

    made = ingested(raw("reviews.json", lines), max_reject_fraction=0.5)

    assert made.rows("reviews", "user_id", "rating", "timestamp") == [
        (f"A{n}", 5.0, 1_400_000_000) for n in (0, 1, 2, 3, 7, 8)
    ]
    counts = made.counts_of("reviews.json")
    assert (counts["lines"], counts["written"], counts["converted"]) == (9, 6, 5)
    assert counts["rejects"] == {"wrong_type": 3}
    assert [line for (line,) in made.rows("rejects", "line")] == sorted(lines[4:7])


def test_ingest_looks_a_second_time_at_lines_far_behind_the_start(ingested, raw, review):
    """The start of the file is JSON of 2018; its last lines are not."""
    lines = [review(asin=f"B{n}", reviewText="x" * 300) for n in range(8000)]
    late = repr({"reviewerID": "A2", "asin": "B1", "unixReviewTime": 1_400_000_000})
    newer = json.dumps({"user_id": "A3", "parent_asin": "B1", "timestamp": 1_400_000_000_123})
    plain = raw("plain.json", [*lines, "broken"])
    mixed = raw("mixed.json", [*lines, late, newer, review(reviewerID="A4", overall="3.0"), "broken"])

    made = ingested([plain, mixed])

    assert made.counts_of("plain.json")["written"] == 8000
    counts = made.counts_of("mixed.json")
    assert (counts["written"], counts["converted"], counts["rejects"]) == (8003, 1, {"malformed": 1})
    late_rows = [row for row in made.rows("reviews", "user_id", "timestamp") if row[0] != "A1"]
    assert late_rows == [(user, 1_400_000_000) for user in ("A2", "A3", "A4")]


def test_ingest_rejects_times_of_ratings_that_would_be_rounded(ingested, raw):
    times = ["1400000000", "1400000000.5", "1400000000.0", "yesterday", "1400000000.00000000001", "14e8"]
    lines = [f"B00000000{n},A000000000{n},5.0,{time}" for n, time in enumerate(times)]

    made = ingested(raw("ratings.csv", lines), max_reject_fraction=0.9)

    assert [item[-1] for (item,) in made.rows("reviews", "item_id")] == ["0", "2", "5"]
    counts = made.counts_of("ratings.csv")
    assert counts["converted"] == 2
    assert counts["rejects"] == {"wrong_type": 2, "missing_timestamp": 1}


def test_ingest_takes_invalid_utf8_in_literals(ingested, raw, review):
    good = repr({"asin": "B1", "title": "Caf?", "categories": [["Toys"]]}).encode()
    path = raw("meta.json", good.replace(b"?", b"\xe9") + b"\n" + good.replace(b"B1", b"B\xff") + b"\n")

    made = ingested(raw("reviews.json", [review()]), path, max_reject_fraction=0.6)

    assert made.rows("items", "item_id", "title") == [("B1", "Caf\ufffd")]
    assert made.counts_of("meta.json")["rejects"] == {"bad_item": 1}
