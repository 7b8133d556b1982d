"""The rules for single fields, on columns of examples: one Spark job each."""

import pytest
from pyspark.sql import functions as F

from seqrec.core.errors import DataError
from seqrec.ingestion.config import IngestionConfig
from seqrec.ingestion.files.groups import group_of_file
from seqrec.ingestion.formats.fields.categories import category_path
from seqrec.ingestion.formats.fields.record_fields import decoded, is_id, parsed_price, parsed_votes
from seqrec.ingestion.formats.line_format import RawLine
from seqrec.ingestion.formats.ratings import Ratings


@pytest.fixture
def results(spark):
    """Applies a column function to examples."""

    def apply(function, examples, schema="value string"):
        frame = spark.createDataFrame([(example,) for example in examples], schema).coalesce(1)
        return [row[0] for row in frame.select(function(F.col("value"))).collect()]

    return apply


def test_parsed_price_reads_prices_and_nothing_else(results):
    prices = {
        "$12.99": 12.99,
        "9.49": 9.49,
        "$1,234.50": 1234.5,
        "$1,000,000": 1e6,
        "5": 5.0,
        " $3 ": 3.0,
        "": None,
        None: None,
        "$1.00 - $5.00": None,
        ".a-box-inner{background-color:#fff}": None,
        "$12,34": None,
        "from 12.99": None,
        "-5": None,
        "NaN": None,
    }

    assert results(parsed_price, list(prices)) == list(prices.values())


def test_parsed_votes_reads_counts_and_nothing_else(results):
    votes = {
        "5": 5,
        "0": 0,
        "1,234": 1234,
        "12,345,678": 12345678,
        "[2, 3]": 2,
        "[0,0]": 0,
        "12,34": None,
        "1,234,567,890": None,
        "-1": None,
        "2.5": None,
        "5, 3]": None,
        "[5": None,
        "[]": None,
        "many": None,
        "": None,
        None: None,
    }

    assert results(parsed_votes, list(votes)) == list(votes.values())


def test_decoded_decodes_entities_once(results):
    texts = {
        "Movies &amp; TV": "Movies & TV",
        "Movies & TV": "Movies & TV",
        "&quot;A&quot; &#39;B&#39; &lt;C&gt;": "\"A\" 'B' <C>",
        "&amp;lt;": "&lt;",
        "&amp;amp;": "&amp;",
        "Caf&eacute; &#233;&nbsp;x": "Café é x",
        "R&#38;B": "R&B",
        "&unknown; &;": "&unknown; &;",
        "  two \n lines\t": "two lines",
        None: None,
        "": "",
    }

    assert results(decoded, list(texts)) == list(texts.values())


def test_is_id_accepts_ids_only(results):
    ids = {
        "A1B2": True,
        "0005123456": True,
        "user_1-x.y": True,
        "": False,
        "a b": False,
        "a\tb": False,
        "A1B2\n": False,
        "a\x00": False,
        "a\ufffd": False,
        '"a"': False,
        "[a]": False,
        "a,b": False,
        "x" * 128: True,
        "x" * 129: False,
        None: False,
    }

    assert results(is_id, list(ids)) == list(ids.values())


def test_category_path_ends_before_what_is_no_category(results):
    features = F.array(F.lit("Imported"))
    paths = [
        (["Toys", "Games"], ["Toys", "Games"]),
        (["Gift Cards", "Gift Cards", "No expiration, no fees.", "Variety"], ["Gift Cards", "Gift Cards"]),
        (["Gift Cards", "</span></span></span>", "Starbucks"], ["Gift Cards"]),
        (["Clothing", "Imported", "Machine Wash"], ["Clothing"]),
        (["Clothing", "100% Cotton"], ["Clothing"]),
        (["Clothing", "x" * 61], ["Clothing"]),
        (["Clothing", " ", "Men"], ["Clothing"]),
        (["Clothing", None, "Men"], ["Clothing"]),
        (["Is this one?"], []),
        ([], []),
        (None, None),
    ]

    cut = results(lambda path: category_path(path, features), [path for path, _ in paths], "value array<string>")

    assert cut == [expected for _, expected in paths]


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("Gift_Cards_5.json.gz", "Gift Cards"),
        ("reviews_Movies_and_TV_5.json.gz", "Movies & TV"),
        ("meta_CDs_and_Vinyl.json.gz", "CDs & Vinyl"),
        ("ratings_Beauty.csv", "Beauty"),
        ("Video_Games.jsonl.zst", "Video Games"),
        ("All_Amazon_Review.json.gz", None),
        ("part-00000.json.gz", None),
    ],
)
def test_group_of_file_knows_the_names_of_the_dump(name, group):
    assert group_of_file(name) == group


ITEM, USER = "B00005N7P0", "AH2IFH762VY5U"


def columns_of(lines, setting):
    alike = [line for line in map(RawLine.of, lines) if Ratings().looks_like(line)]
    return Ratings().dialect_of(alike, "/r.csv", IngestionConfig(csv_columns=setting)).columns


@pytest.mark.parametrize(
    ("lines", "setting", "first"),
    [
        ([f"{ITEM},{USER},5.0,1"], "auto", "item_id"),
        ([f"{USER},{ITEM},5.0,1"], "auto", "user_id"),
        ([f"000171335X,{USER},5.0,1"], "auto", "item_id"),
        (["1,2,5.0,1"], "user-item", "user_id"),
        (["1,2,5.0,1"], "item-user", "item_id"),
        ([f"{ITEM},{USER},5.0,1"] * 99 + ["broken"], "auto", "item_id"),
    ],
)
def test_ratings_tells_by_the_ids_or_as_told(lines, setting, first):
    assert columns_of(lines, setting)[0] == first


@pytest.mark.parametrize(
    "lines", [["1,2,5.0,1"], [f"{ITEM},{ITEM},5.0,1"], [f"{ITEM},{USER},5,1", f"{USER},{ITEM},5,1"]]
)
def test_ratings_says_when_it_cannot_tell(lines):
    with pytest.raises(DataError, match="/r.csv: cannot tell .*csv_columns"):
        columns_of(lines, "auto")
