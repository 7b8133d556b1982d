"""Synthetic reviews and items in the formats of the 2018 dump: the same fields, ids and oddities."""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import SECONDS_PER_DAY, TIMESTAMP
from seqrec.ingestion.config import SynthesisConfig
from seqrec.ingestion.synthetic.events import EVENT_NUMBER, ITEM_NUMBER, NUM_PHASES, USER_NUMBER
from seqrec.ingestion.synthetic.random_columns import chosen, integer_below, uniform

_DEPARTMENTS = (
    "Books",
    "Clothing, Shoes & Jewelry",
    "Electronics",
    "Home & Kitchen",
    "Movies & TV",
    "Sports & Outdoors",
    "Tools & Home Improvement",
    "Toys & Games",
)
_SHELVES = ("Accessories", "Classics", "For Beginners", "Gifts", "New & Popular")
_BRANDS = ("Acme", "Northwind", "Contoso", "Globex", "Initech", "Umbra", "Vandelay", "Wayfarer & Sons")
_STARS = ((0.6, 5.0), (0.77, 4.0), (0.86, 3.0), (0.91, 2.0), (1.0, 1.0))  # Pairs of cumulative share and rating.
_WORD_TEXT = """
the and a to it is i this of for my in that was with on but have not great as so are very good you like one they
just we at or all product use had her be will if would when from easy out really more get love well up them also
than what were works no only about can she because been time me after much other little size quality bought fit made
does nice price don't still which he too has an first now some there work even perfect don even any then back two
your our buy did best recommend better make again by small over set put off book how fits day long used way go need
few who since right want light new hard where never looks thing while before sure few color enough story read old
highly around battery case money worth water every last bit found think year years easily daughter son husband kids
comfortable happy sturdy excellent another different arrived expected described ordered cheap
"""
_WORDS = _WORD_TEXT.split()
_USER_FACTOR = 48_271_139_381  # Odd, so that multiplying modulo a power of two is one to one.
_ITEM_FACTOR = 25_214_903_917  # Odd, for the same reason.
_ISBN_FACTOR = 618_033_989  # Has no factor in common with ten, for the same reason modulo a power of ten.


def review_lines(events: DataFrame, config: SynthesisConfig, seed: int) -> DataFrame:
    """One column per field of a 2018 review; fields that are missing from a line are null."""
    event = (F.col(USER_NUMBER), F.col(EVENT_NUMBER))
    vote = F.when(
        uniform(seed, "voted", *event) < 0.1, F.floor(2 / F.pow(0.01 + uniform(seed, "vote", *event), F.lit(2)))
    )
    fields = [
        _rating(seed, *event).alias("overall"),
        (uniform(seed, "verified", *event) < 0.9).alias("verified"),
        _review_time().alias("reviewTime"),
        user_id().alias("reviewerID"),
        item_id(F.col(ITEM_NUMBER)).alias("asin"),
        F.concat(F.lit("Reviewer "), F.col(USER_NUMBER)).alias("reviewerName"),
        F.format_number(vote, 0).alias("vote"),
    ]
    if config.text_words:
        share_left = 1 - uniform(seed, "text length", *event)
        num_words = F.least(F.lit(8.0), -F.log(share_left)) * config.text_words
        has_text = uniform(seed, "has text", *event) < 0.998
        fields.append(F.when(has_text, _words(num_words, seed, "text", *event)).alias("reviewText"))
        fields.append(_words(F.lit(4), seed, "summary", *event).alias("summary"))
    return events.select(*fields, F.col(TIMESTAMP).alias("unixReviewTime"))


def rating_lines(events: DataFrame, seed: int) -> DataFrame:
    """Columns of the 2018 ratings file, in its order."""
    event = (F.col(USER_NUMBER), F.col(EVENT_NUMBER))
    return events.select(item_id(F.col(ITEM_NUMBER)), user_id(), _rating(seed, *event), TIMESTAMP)


def metadata_lines(spark: SparkSession, config: SynthesisConfig, seed: int) -> DataFrame:
    """One column per field of a 2018 metadata line, one row per item."""
    num_groups = config.num_clusters * NUM_PHASES
    item = F.col(ITEM_NUMBER)
    # The phase of an item shows in its category, its cluster does not.
    half = integer_below(len(_DEPARTMENTS) * len(_SHELVES) // NUM_PHASES, seed, "category", item)
    number = (half * NUM_PHASES + item % num_groups % NUM_PHASES).cast("int")
    department = F.element_at(F.array(*map(F.lit, _DEPARTMENTS)), F.floor(number / len(_SHELVES)).cast("int") + 1)
    shelf = F.element_at(F.array(*map(F.lit, _SHELVES)), number % len(_SHELVES) + 1)
    taste = F.floor(item % num_groups / NUM_PHASES)
    shows_taste = uniform(seed, "brand shows taste", item) < config.brand_share
    brand = F.when(shows_taste, F.concat(F.lit("House "), taste)).otherwise(chosen(list(_BRANDS), seed, "brand", item))
    neighbours = F.filter(
        F.array(item + num_groups, item + 2 * num_groups, item - num_groups),
        lambda other: (other >= 0) & (other < config.num_items),
    )
    cents = F.floor(199 + 3_000 * F.pow(uniform(seed, "price", item), F.lit(3)))
    price = F.concat(F.lit("$"), F.format_number(cents / 100, 2))
    return (
        spark.range(config.num_items)
        .withColumnRenamed("id", ITEM_NUMBER)
        .select(
            F.array(department, F.concat(department, F.lit(" "), shelf)).alias("category"),
            F.concat(chosen(list(_BRANDS), seed, "brand", item), F.lit(" No. "), item).alias("title"),
            F.transform(neighbours, item_id).alias("also_buy"),
            brand.alias("brand"),
            F.array(F.lit("Made with care.")).alias("feature"),
            F.array().cast("array<string>").alias("also_view"),
            department.alias("main_cat"),
            F.when(uniform(seed, "has price", item) < 0.6, price).otherwise(F.lit("")).alias("price"),
            item_id(item).alias("asin"),
        )
    )


def user_id() -> Column:
    """User ids of 14 characters, like Amazon's, one to one."""
    scrambled = (F.col(USER_NUMBER) * _USER_FACTOR + 0x5EC3EC).bitwiseAND(F.lit((1 << 52) - 1))
    return F.concat(F.lit("A"), F.lpad(F.hex(scrambled), 13, "0"))


def item_id(number: Column) -> Column:
    """Item ids of 10 characters, one to one. One item in ten has digits only and leading zeros, as books do."""
    scrambled = (number * _ITEM_FACTOR + 0xB00C).bitwiseAND(F.lit((1 << 36) - 1))
    isbn = F.lpad(F.pmod(number * _ISBN_FACTOR, F.lit(10**9).cast("long")).cast("string"), 10, "0")
    return F.when(number % 10 == 7, isbn).otherwise(F.concat(F.lit("B"), F.lpad(F.hex(scrambled), 9, "0")))


def _review_time() -> Column:
    """The day as `09 6, 2018`, put together from parts because `date_format` depends on the session's time zone."""
    day = F.date_from_unix_date(F.floor(F.col(TIMESTAMP) / SECONDS_PER_DAY).cast("int"))
    month = F.lpad(F.month(day).cast("string"), 2, "0")
    return F.concat(month, F.lit(" "), F.dayofmonth(day), F.lit(", "), F.year(day))


def _rating(seed: int, *event: Column) -> Column:
    draw = uniform(seed, "rating", *event)
    column = F.lit(_STARS[-1][1])
    for limit, stars in reversed(_STARS[:-1]):
        column = F.when(draw < limit, stars).otherwise(column)
    return column


def _words(num_words: Column, seed: int, purpose: str, *event: Column) -> Column:
    """Text of common words; frequent ones are drawn more often, so that it compresses about as well as real text."""
    vocabulary = F.array(*map(F.lit, _WORDS))

    def word(number: Column) -> Column:
        draw = uniform(seed, purpose, *event, number)
        return F.element_at(vocabulary, F.floor(draw * draw * len(_WORDS)).cast("int") + 1)

    return F.array_join(F.transform(F.sequence(F.lit(0), num_words.cast("int")), word), " ")
