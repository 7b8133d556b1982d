"""The compiled reader beside Spark's rules: whatever it takes has the same values, state, hash and digest by both."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from seqrec.core.columns import LINE_HASH
from seqrec.ingestion.compiled.kernel import LineReader, compiled_library
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.raw_lines import line_hash, read_lines
from seqrec.ingestion.formats.ratings import Ratings, RatingsDialect
from seqrec.ingestion.formats.reviews_2018 import Reviews2018
from seqrec.ingestion.formats.reviews_2023 import Reviews2023
from seqrec.ingestion.line_counts import BLANK, GOOD, STATE
from seqrec.tables.digest import combine, digest_columns
from seqrec.tables.schemas import REVIEWS

CONFIG = IngestionConfig(max_line_bytes=300)
GROUP_NAME = "Gift Cards"
ORDER = ("item_id", "user_id", "rating", "timestamp")

# Values of JSON as they may be written, right and wrong for any field.
WRITTEN = st.sampled_from(
    [
        *('"A1"', '"B000000001"', '"0005"', '"true"', '"A-1;|~"', '"A 1"', '"A\\u0031"', '"\u00c91"', '"A\'1"', '""'),
        *("5.0", "5", "4.25", "0.0", "0", "5.00000000000001", "5.000000000000001", "5.1", "05", "5.", ".5", "-0.0"),
        *("5e0", "4.999999999999999999", "1400000000", "1400000000123", "1400000000.0", "1.4e9", "0001400000000"),
        *("788918400", "788918399", "1924991999", "1924992000", "1924991999999", "1924992000000", "-5", "1" * 25),
        *("true", "false", "null", "True", "None", "NaN", "[2, 3]", "[2,3,4]", "[02, 3]", "[ 2 , 3 ]", "[]", "{}"),
        *('"5"', '"1,234"', '"12,34"', '"1234,567"', '"123456789"', '"1234567890"', '",5"', '"5.0"', '"yes"', "12"),
        *('{"a": [1, {"b": null}]}', '"line\\nend \\ud83d"', '"\\x"', '"tab\there"', "[1, 2", '"open', "1 2", "[" * 70),
    ]
)
NAMES_2018 = ("reviewerID", "asin", "overall", "unixReviewTime", "verified", "vote", "helpful")
NAMES_2023 = ("user_id", "parent_asin", "asin", "rating", "timestamp", "verified_purchase", "helpful_vote")
GOOD_2018 = {"reviewerID": '"A1"', "asin": '"B1"', "overall": "5.0", "unixReviewTime": "1400000000"}
GOOD_2023 = {"user_id": '"AE"', "parent_asin": '"B1"', "rating": "4.5", "timestamp": "1588687728923"}
LIKELY = {
    "verified": st.sampled_from(["true", "false"]),
    "verified_purchase": st.sampled_from(["true", "false"]),
    "vote": st.sampled_from(['"5"', '"1,234"', "7", "null"]),
    "helpful": st.just("[2, 3]"),
    "helpful_vote": st.sampled_from(["0", "12"]),
    "text": st.text(max_size=30).map(json.dumps)
    | st.text(max_size=30).map(lambda text: json.dumps(text, ensure_ascii=False)),
    "style": st.just('{"Size:": ["a", -1.5e3, null]}'),
}
GAPS = st.sampled_from(["", "", "", " ", "\t", "  ", "\r"])


@st.composite
def json_lines(draw, good, names):
    fields = dict(good)
    for name in draw(st.lists(st.sampled_from([*names, "text", "style", "verified", "vote"]), max_size=4)):
        fields[name] = draw(LIKELY[name]) if name in LIKELY else fields.get(name, "1")
    if draw(st.booleans()):  # Otherwise nothing is odd but the order and the gaps.
        fields[draw(st.sampled_from([*NAMES_2018, *NAMES_2023, "x", "as\\u0069n"]))] = draw(WRITTEN)
    pairs = [f'"{name}"{draw(GAPS)}:{draw(GAPS)}{value}' for name, value in draw(st.permutations([*fields.items()]))]
    pairs += draw(st.lists(st.sampled_from(pairs), max_size=1)) if draw(st.integers(0, 9)) == 0 else []
    line = "{" + f",{draw(GAPS)}".join(pairs) + "}"
    return draw(spoilt(line.encode("utf-8", errors="replace")))


@st.composite
def ratings(draw, separator):
    value = st.sampled_from(
        ["B000000001", "A1", "5.0", "4", "1400000000", "", " 5.0", '"5.0"', "5.0f", "1e0", "\u00c9"]
    )
    fields = ["B000000001", "A0000000000001", draw(st.sampled_from(["5.0", "3", "2.5"])), "1400000000"]
    if draw(st.booleans()):
        fields[draw(st.integers(0, 3))] = draw(value | WRITTEN)
    return draw(spoilt(separator.join(fields).encode()))


@st.composite
def spoilt(draw, line):
    """The line, three times in four; else with bytes put in, taken out or changed."""
    content = bytearray(line)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2, 5]))):
        place = draw(st.integers(0, len(content)))
        piece = draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"\\", b",", b"}", b"\xe2\x82", b"\xef\xbb\xbf", b"\r"])
        )
        content[place : place + draw(st.integers(0, 2))] = piece
    return bytes(content).replace(b"\n", b"")


def lines_of(line):
    """Some hundred lines at once: each example is a pass of Spark."""
    return st.lists(line | st.binary(max_size=60).map(lambda one: one.replace(b"\n", b"")), min_size=1, max_size=150)


def read(content, line_format, dialect, max_rows=7):
    """The rows that the reader takes, their digest, and the lines that it leaves, with few rows at a time."""
    line = line_format.clean_line(dialect, CONFIG)
    reader = LineReader(compiled_library(), line, GROUP_NAME, max_rows)
    array, start, rows, digest, num_blank, doubtful = np.frombuffer(content, np.uint8), 0, [], 0, 0, []
    while start < len(array) or reader.num_rows:
        used = reader.add(array[start:])
        doubtful += [content[start + first : start + last] for first, last in reader.doubtful()]
        start += used
        batch, part, blank = reader.taken()
        rows += [tuple(row.values()) for row in batch.to_pylist()]
        digest, num_blank = (digest + part) % (1 << 64), num_blank + blank
        reader.clear()
    return rows, f"{digest:016x}", num_blank, doubtful


def by_spark(spark, lines, line_format, dialect):
    """The rows, states and digest that Spark's rules give for lines of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lines.txt")
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        parsed = line_format.parse(read_lines(spark, [path.as_uri()]).coalesce(1), dialect, CONFIG)
        parsed = parsed.withColumn("group", F.lit(GROUP_NAME)).withColumn("rating", F.col("rating").cast("float"))
        found = parsed.select(*(name for name in REVIEWS.names if name != LINE_HASH), line_hash(), STATE)
        # One task, so in the order of the file; and one pass, as each costs more than its lines.
        rows, _, *halves = found.agg(F.collect_list(F.struct("*")), *digest_columns(found.drop(STATE))).first()
    return [tuple(row)[:-1] for row in rows], combine(*halves), [row[STATE] for row in rows]


def check(spark, lines, line_format, *dialects):
    content = b"\n".join(lines)
    rows, digest, num_blank, doubtful = read(content, line_format, dialects[0])
    left = list(doubtful)
    split = content.split(b"\n") if content else []
    if split and not split[-1]:  # A newline ends a line.
        split.pop()
    taken = [line for line in split if line and not (left and left[0] == line and left.pop(0) is not None)]

    assert not left  # In the order of the file.
    assert len(rows) + num_blank + len(doubtful) == len(split)
    for dialect in dialects if taken else ():
        assert by_spark(spark, taken, line_format, dialect) == (rows, digest, [GOOD] * len(rows))
    return len(rows)


def spark_settings(function):
    return settings(max_examples=3, suppress_health_check=list(HealthCheck), database=None)(function)


@pytest.mark.parametrize(
    ("line_format", "good", "names"),
    [(Reviews2018(), GOOD_2018, NAMES_2018), (Reviews2023(), GOOD_2023, NAMES_2023)],
    ids=["2018", "2023"],
)
@spark_settings
@given(data=st.data())
def test_the_reader_takes_of_json_what_both_looks_of_spark_call_good(spark, line_format, good, names, data):
    lines = data.draw(lines_of(json_lines(good, names)))

    check(spark, lines, line_format, False, True)


@spark_settings
@given(data=st.data(), separator=st.sampled_from([",", "\t", ";"]), units=st.sampled_from([1, 1000]))
def test_the_reader_takes_of_ratings_what_spark_calls_good(spark, data, separator, units):
    lines = data.draw(lines_of(ratings(separator)))

    check(spark, lines, Ratings(), RatingsDialect(ORDER, units, separator))


def test_the_reader_takes_nearly_all_clean_lines(spark):
    text = json.dumps('caf\u00e9 "5" stars \u2605 ' * 4, ensure_ascii=False)
    lines = [
        f'{{"overall": {number % 6}.0, "verified": true, "reviewerID": "A{number}", "asin": "B{number % 7}", '
        f'"vote": "{number}", "reviewText": {text}, "unixReviewTime": {10**9 + number}}}'.encode()
        for number in range(100)
    ]

    assert check(spark, [*lines, b"", *lines, b"\r"], Reviews2018(), False, True) == 200
    assert check(spark, [b"B1,A1,5.0,1400000000\r", b"B2,A2,4,1400000001"], Ratings(), RatingsDialect(ORDER, 1)) == 2


def test_the_reader_skips_columns_of_a_header(spark):
    columns = ("column 0", "user_id", "item_id", "column 3", "timestamp", "rating")

    assert check(spark, [b"any 'thing',A1,B1,,1400000000,5.0"], Ratings(), RatingsDialect(columns, 1)) == 1


def test_the_reader_leaves_blank_lines_to_no_one():
    rows, _, num_blank, doubtful = read(b"\n\n \nB1,A1,5.0,1400000000", Ratings(), RatingsDialect(ORDER, 1))

    assert (len(rows), num_blank, doubtful) == (1, 2, [b" "])
    assert BLANK not in rows[0]
