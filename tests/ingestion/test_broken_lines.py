"""Every kind of broken line ends as a counted reject, none as a silent null row."""

import json

import pytest

GOOD = {"overall": 5.0, "verified": True, "reviewerID": "A1", "asin": "B1", "unixReviewTime": 1_400_000_000}


def line(**changes):
    return json.dumps({key: value for key, value in (GOOD | changes).items() if value is not None}).encode()


DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000

BROKEN_REVIEWS = {
    "not json": (b"hello world", "malformed"),
    "cut in a string": (line()[:-30], "malformed"),
    "cut before the brace": (line()[:-1], "malformed"),
    "junk after the object": (line() + b" xyz", "malformed"),
    "a number": (b"42", "malformed"),
    "a list": (b"[1, 2]", "malformed"),
    "a list holding a review": (b"[" + line() + b"]", "malformed"),
    "a bare null": (b"null", "malformed"),
    "a string": (b'"text"', "malformed"),
    "code": (b"__import__('os').system('touch /tmp/never')", "malformed"),
    "bare NaN": (line().replace(b"5.0", b"NaN"), "malformed"),
    "bare Infinity": (line().replace(b"5.0", b"Infinity"), "malformed"),
    "raw NUL bytes": (line().replace(b"B1", b"B\x001"), "malformed"),
    "raw control character": (line().replace(b"B1", b"B\x071"), "malformed"),
    "trailing comma": (line()[:-1] + b",}", "malformed"),
    "nested too deep": (line()[:-1] + b', "x":' + DEEP + b"}", "malformed"),
    "leading zeros without quotes": (line().replace(b'"B1"', b"0001"), "malformed"),
    "two records, newline lost": (line() + line(asin="B2"), "several_records"),
    "two records, comma between": (line() + b"," + line(asin="B2"), "several_records"),
    "two records, space between": (line() + b" " + line(asin="B2"), "several_records"),
    "rating is text": (line(overall="five"), "wrong_type"),
    "rating is a list": (line(overall=[5.0]), "wrong_type"),
    "time is a fraction": (line(unixReviewTime=1_400_000_000.5), "wrong_type"),
    "time is a word": (line(unixReviewTime="yesterday"), "wrong_type"),
    "time is a fraction as text": (line(unixReviewTime="1400000000.5"), "wrong_type"),
    "time is a fraction that a double rounds off": (
        line().replace(b"1400000000", b"1400000000.00000001"),
        "wrong_type",
    ),
    "a literal with a call": (b"{'reviewerID': 'A1', 'asin': str(1)}", "malformed"),
    "a literal and junk": (str(GOOD).encode() + b" xyz", "malformed"),
    "two literals": (str(GOOD).encode() + str(GOOD).encode(), "malformed"),
    "a set": (b"{'reviewerID', 'asin'}", "malformed"),
    "a literal with a number as item": (str(GOOD | {"asin": 5}).encode(), "wrong_type"),
    "time is an object": (line(unixReviewTime={"s": 1}), "wrong_type"),
    "time overflows": (line(unixReviewTime=10**30), "wrong_type"),
    "verified is text": (line(verified="yes"), "wrong_type"),
    "item is a number": (line(asin=123), "wrong_type"),
    "user is a boolean": (line(reviewerID=True), "wrong_type"),
    "user missing": (line(reviewerID=None), "missing_user"),
    "user null": (line().replace(b'"A1"', b"null"), "missing_user"),
    "user empty": (line(reviewerID=""), "missing_user"),
    "user blank": (line(reviewerID="   "), "missing_user"),
    "item missing": (line(asin=None), "missing_item"),
    "item empty": (line(asin=""), "missing_item"),
    "an empty object": (b"{}", "missing_user"),
    "time missing": (line(unixReviewTime=None), "missing_timestamp"),
    "time null": (line().replace(b"1400000000", b"null"), "missing_timestamp"),
    "user with a space": (line(reviewerID="A 1"), "bad_user"),
    "user with a newline": (line(reviewerID="A\n1"), "bad_user"),
    "user ends in a newline": (line(reviewerID="A1\n"), "bad_user"),
    "user is a list": (line(reviewerID=["A1"]), "bad_user"),
    "item is an object": (line(asin={"id": "B1"}), "bad_item"),
    "item with an escaped NUL": (line(asin="B\x001"), "bad_item"),
    "item of invalid UTF-8": (line().replace(b"B1", b"B\xff\xfe1"), "bad_item"),
    "item of markup": (line(asin="<b>1</b>"), "bad_item"),
    "item too long": (line(asin="B" * 200), "bad_item"),
    "time negative": (line(unixReviewTime=-5), "bad_timestamp"),
    "time zero": (line(unixReviewTime=0), "bad_timestamp"),
    "time in milliseconds": (line(unixReviewTime=1_400_000_000_000), "bad_timestamp"),
    "time in the far future": (line(unixReviewTime=9_999_999_999), "bad_timestamp"),
    "rating negative": (line(overall=-1.0), "bad_rating"),
    "rating too high": (line(overall=50.0), "bad_rating"),
    "rating absurd": (line(overall=1e308), "bad_rating"),
    "rating of quoted NaN": (line(overall="NaN"), "wrong_type"),
    "huge line": (line(reviewText="x" * 3_000_000), "too_long"),
}

# Odd, but all that is used of them is there.
ODD_REVIEWS = {
    "unknown fields": line(style={"Size:": ["a", {"b": 1}]}, image=[]),
    "invalid UTF-8 in the text": line(reviewText="x")[:-2] + b'\xff\xfe"}',
    "newline escaped in the text": line(reviewText="a\nb"),
    "no rating": line(overall=None),
    "a carriage return at the end": line() + b"\r",
    "spaces around": b"  " + line() + b"  ",
    "byte order mark": b"\xef\xbb\xbf" + line(),
    "braces in the text": line(reviewText='} {"asin": "B9"} }{'),
    "a key twice": line()[:-1] + b', "asin": "B1"}',
    "a literal": str(GOOD).encode(),
    "a literal of invalid UTF-8": str(GOOD | {"reviewText": "x?"}).encode().replace(b"?", b"\xff"),
    "a literal with None": str(GOOD | {"vote": None, "style": None}).encode(),
    "rating is a quoted number": line(overall="5.0"),
    "time is a quoted number": line(unixReviewTime="1400000000"),
    "time is a whole float": line(unixReviewTime=1_400_000_000.0),
    "time has an exponent": line().replace(b"1400000000", b"1.4e9"),
    "the names of 2023": b'{"user_id": "A1", "parent_asin": "B1", "timestamp": 1400000000123}',
    "digits only, in quotes": line(asin="0005123456", reviewerID="42"),
}

BROKEN_RATINGS = {
    "three columns": (b"B000000001,A0000000001,5.0", "wrong_columns"),
    "five columns": (b"B000000001,A0000000001,5.0,1400000000,1", "wrong_columns"),
    "text": (b"hello", "wrong_columns"),
    "no item": (b",A0000000001,5.0,1400000000", "missing_item"),
    "no user": (b"B000000001,,5.0,1400000000", "missing_user"),
    "no rating": (b"B000000001,A0000000001,,1400000000", "bad_rating"),
    "rating is text": (b"B000000001,A0000000001,good,1400000000", "bad_rating"),
    "rating is NaN": (b"B000000001,A0000000001,NaN,1400000000", "bad_rating"),
    "no time": (b"B000000001,A0000000001,5.0,", "missing_timestamp"),
    "time is text": (b"B000000001,A0000000001,5.0,today", "missing_timestamp"),
    "time is a fraction": (b"B000000001,A0000000001,5.0,1400000000.5", "wrong_type"),
    "time is a fraction that a double rounds off": (b"B000000001,A0000000001,5.0,1400000000.00000001", "wrong_type"),
    "time is negative": (b"B000000001,A0000000001,5.0,-1400000000", "bad_timestamp"),
    "time is infinite": (b"B000000001,A0000000001,5.0,Infinity", "bad_timestamp"),
    "time is NaN": (b"B000000001,A0000000001,5.0,NaN", "bad_timestamp"),
    "time is negative and infinite": (b"B000000001,A0000000001,5.0,-Infinity", "bad_timestamp"),
    "NUL": (b"B00000\x000001,A0000000001,5.0,1400000000", "bad_item"),
    "invalid UTF-8": (b"B000000001,A00\xff00000001,5.0,1400000000", "bad_user"),
}

ODD_RATINGS = {
    "semicolons": b"B000000001;A0000000001;5.0;1400000000",
    "tabs": b"B000000001\tA0000000001\t5.0\t1400000000",
    "pipes and quotes": b'"B000000001"|"A0000000001"|"5.0"|"1400000000"',
    "quotes": b'"B000000001",A0000000001,5.0,1400000000',
    "a whole float": b"B000000001,A0000000001,5.0,1400000000.0",
    "an exponent": b"B000000001,A0000000001,5,1.4e9",
}

BROKEN_METADATA = {
    "not json": (b"hello", "malformed"),
    "no item": (b'{"title": "x"}', "missing_item"),
    "item null": (b'{"asin": null}', "missing_item"),
    "item is a number": (b'{"asin": 5}', "wrong_type"),
    "item with a space": (b'{"asin": "B 1"}', "bad_item"),
    "category is text": (b'{"asin": "B1", "category": "Toys"}', "wrong_type"),
    "two records": (b'{"asin": "B1"}{"asin": "B2"}', "several_records"),
}


@pytest.fixture(params=["lenient", "ansi"], autouse=True)
def as_some_sessions_are(request, spark):
    """With ANSI, Spark ends a job at what it otherwise takes for null."""
    spark.conf.set("spark.sql.ansi.enabled", request.param == "ansi")
    yield
    spark.conf.unset("spark.sql.ansi.enabled")


def check(result, path, kinds, num_good, table):
    """Each broken line is there once, with its reason; the counts add up."""
    expected = sorted((start(text), reason) for text, reason in kinds.values())

    rejects = result.rows("rejects", "line", "reason", "source")

    assert [(text, reason) for text, reason, _ in rejects] == expected
    assert {source for _, _, source in rejects} == {path.as_uri()}
    assert result.manifest.table(table).rows == num_good
    counts = result.counts_of(path.name)
    assert counts["lines"] == num_good + counts["blank"] + len(kinds)
    assert counts["written"] == num_good


def start(text):
    return text.decode("utf-8", errors="replace")[:200]


def test_ingest_rejects_every_broken_review(raw, ingested):
    lines = [text for text, _ in BROKEN_REVIEWS.values()] + list(ODD_REVIEWS.values()) + [b"", b"  ", b"\t\r"]
    path = raw("reviews.json", b"\n".join(lines) + b"\n")

    made = ingested(path, max_reject_fraction=1.0, max_line_bytes=2_000_000)

    check(made, path, BROKEN_REVIEWS, len(ODD_REVIEWS), "reviews")
    assert made.counts_of("reviews.json")["blank"] == 3
    assert made.counts_of("reviews.json")["converted"] == 4
    assert {(user, item) for user, item in made.rows("reviews", "user_id", "item_id")} == {
        ("A1", "B1"),
        ("42", "0005123456"),
    }


def test_ingest_rejects_every_broken_rating(raw, ingested):
    good = [f"B00000000{n},A000000000{n},5.0,1400000000".encode() for n in range(9)] * 20
    lines = good + [text for text, _ in BROKEN_RATINGS.values()] + list(ODD_RATINGS.values()) + [b""]
    path = raw("ratings.csv", b"\r\n".join(lines))

    made = ingested(path, max_reject_fraction=1.0, first_day="1970-01-01")

    check(made, path, BROKEN_RATINGS, len(good) + len(ODD_RATINGS), "reviews")
    assert made.counts_of("ratings.csv")["converted"] == 2


def test_ingest_rejects_every_broken_metadata_line(raw, ingested, review):
    reviews = raw("reviews.json", [review()])
    lines = [text for text, _ in BROKEN_METADATA.values()] + [b'{"asin": "B7", "title": "seven"}', b"{'asin': 'B8'}"]
    path = raw("meta.json", b"\n".join(lines))

    made = ingested(reviews, path, max_reject_fraction=1.0)

    check(made, path, BROKEN_METADATA, 2, "items")
