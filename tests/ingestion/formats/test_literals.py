"""The second look, fuzzed without Spark: any text, any notation, any edition."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrec.ingestion.formats.fields.csv_fields import rating_line
from seqrec.ingestion.formats.fields.editions import item_of_2018, item_of_2023, review_of_2018, review_of_2023
from seqrec.ingestion.formats.fields.literals import looked_at, number, whole
from seqrec.ingestion.formats.line_format import RawLine

IDS = st.text(alphabet="ABCXYZ0123456789", min_size=1, max_size=28)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SECONDS = st.integers(800_000_000, 1_900_000_000)
NOTATIONS = (
    repr,
    json.dumps,
    lambda fields: json.dumps(fields, ensure_ascii=False),
    lambda fields: repr(fields) + " \r",
)
TIMES = (int, float, str, lambda time: f"{time}.0", lambda time: f" {time:.9e} ")


def check(user, item, rating, time, text, notation, write_time, is_of_2023):
    if is_of_2023:
        fields = {"user_id": user, "parent_asin": item, "rating": rating, "timestamp": write_time(time * 1000)}
    else:
        fields = {"reviewerID": user, "asin": item, "overall": rating, "unixReviewTime": write_time(time)}
    line = notation({text: {text: [None, True]}, "summary": text} | fields)

    for make, names, unit in (
        (review_of_2018, ("reviewerID", "asin", "overall", "unixReviewTime"), 1),
        (review_of_2023, ("user_id", "parent_asin", "rating", "timestamp"), 1000),
    ):
        look = looked_at(line, make)
        assert look is not None
        used = json.loads(look.text)
        assert [used.get(name) for name in names] == [user, item, rating, time * unit]
        assert type(used[names[-1]]) is int
        assert look.is_converted == (write_time is not int)


REVIEWS = given(
    user=IDS,
    item=IDS,
    rating=st.sampled_from([1.0, 2.5, 5.0, 4]),
    time=SECONDS,
    text=TEXTS,
    notation=st.sampled_from(NOTATIONS),
    write_time=st.sampled_from(TIMES),
    is_of_2023=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@REVIEWS
def test_looked_at_finds_a_review_in_every_dialect(**review):
    if not review["is_of_2023"] or review["write_time"] is not TIMES[-1]:
        check(**review)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@REVIEWS
def test_looked_at_finds_ten_thousand_reviews(**review):
    if not review["is_of_2023"] or review["write_time"] is not TIMES[-1]:
        check(**review)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.binary().map(lambda content: content.decode("utf-8", errors="replace")),
        TEXTS.map(lambda t: "{" + t + "}"),
    )
)
def test_looked_at_takes_any_text(text):
    for make in (review_of_2018, review_of_2023, item_of_2018, item_of_2023):
        looked_at(text, make)
    RawLine.of(text)
    rating_line(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1400000000.0, 1400000000),
        ("1400000000", 1400000000),
        ("1.4e9", 1400000000),
        ("14E8", 1400000000),
        (" 1400000000.00 ", 1400000000),
        (1400000000.5, 1400000000.5),
        ("1400000000.5", "1400000000.5"),
        ("1400000000.00000000000000001", "1400000000.00000000000000001"),
        ("yesterday", "yesterday"),
        ("", ""),
        ("1_400", "1_400"),
        ("\u0661", "\u0661"),
        ("0x10", "0x10"),
        ("1e999999999", "1e999999999"),
        ("NaN", "NaN"),
        (float("inf"), float("inf")),
        (2.0**60, 2.0**60),
        (True, True),
        (None, None),
        ([1.0], [1.0]),
    ],
)
def test_whole_converts_without_loss_or_not_at_all(value, expected):
    assert whole(value) == expected
    assert type(whole(value)) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"), [("5.0", 5.0), ("4", 4.0), ("five", "five"), ("NaN", "NaN"), (3, 3), ("", "")]
)
def test_number_converts_text(value, expected):
    assert number(value) == expected


NAMES = ("user_id", "item_id", "rating", "timestamp")
TRUE_HEADER = '"user_id","parent_asin","rating","timestamp"'


@pytest.mark.parametrize(
    ("line", "separator", "fields", "header"),
    [
        ("A,B,5.0,1400000000", ",", "A B 5.0 1400000000", None),
        ('"A";"B";"5";"1.4e9"', ";", "A B 5 1.4e9", None),
        ("A\tB\t5.\t-3", "\t", "A B 5. -3", None),
        ("A|B|5|1", "|", "A B 5 1", None),
        (TRUE_HEADER, ",", "user_id parent_asin rating timestamp", NAMES),
        ("asin|stars|reviewerID|time|x", "|", None, ("item_id", "rating", "user_id", "timestamp", "column 4")),
        ("asin,user_id,parent_asin,rating,timestamp", ",", None, ("column 0", *NAMES)),
    ],
)
def test_rating_line_reads_separators_quotes_and_headers(line, separator, fields, header):
    read = rating_line(line)

    assert read is not None
    assert (read.separator, read.header) == (separator, header)
    assert list(read.fields) == (line.split(separator) if fields is None else fields.split())


@pytest.mark.parametrize(
    "line", ["", "A,B,5.0", "A,B,5.0,1,2", "A,B,C,D", "A B 5.0 1", "user_id,rating,timestamp", '"A,B,5,1']
)
def test_rating_line_refuses_what_is_none(line):
    assert rating_line(line) is None
