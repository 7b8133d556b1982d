"""Rules for single fields of a raw record, as Spark columns."""

import html.entities

from pyspark.sql import Column
from pyspark.sql import functions as F

# What Amazon's ids are made of comes first: that is decided several times as fast as what any id may hold.
_ID = r"\A(?:[0-9A-Z]{1,128}|[^\s\p{Cntrl},\"'\[\]{}<>\\\uFFFD]{1,128})\z"
_BARE_VALUE = r"^(-?[0-9][0-9.eE+-]*|true|false)$"  # What a JSON number or boolean looks like once it is a string.
_PRICE = r"^\s*\$?\s*([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(\.[0-9]+)?\s*$"
_VOTES = r"^(?:\[\s*([0-9]{1,9})\s*,\s*[0-9]+\s*\]|([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,9}))$"
_ENTITY = r"&(#[0-9]{1,6}|#[xX][0-9a-fA-F]{1,5}|[A-Za-z][A-Za-z0-9]{1,7});"
_COMMON = {"&quot;": '"', "&#39;": "'", "&apos;": "'", "&lt;": "<", "&gt;": ">", "&nbsp;": " ", "&#34;": '"'}


def is_id(value: Column) -> Column:
    """True for text that can be an id: no spaces, control characters, quotes, brackets or broken UTF-8."""
    return value.isNotNull() & value.rlike(_ID)


def is_quoted(value: Column, line: Column) -> Column:
    """False when the JSON value of an id was a bare number or boolean: its leading zeros would be lost."""
    return ~value.rlike(_BARE_VALUE) | line.contains(F.concat(F.lit('"'), value, F.lit('"')))


def is_rating(value: Column) -> Column:
    """True for 0 to 5 and for a missing rating; Spark orders NaN above every number."""
    return value.isNull() | value.between(0.0, 5.0)


def parsed_price(text: Column) -> Column:
    """Dollars of `$1,234.50` or `9.99`; null for ranges, missing prices and anything else, such as leaked CSS."""
    short = F.when(F.octet_length(text) < 32, text)
    number = F.concat(F.regexp_extract(short, _PRICE, 1), F.regexp_extract(short, _PRICE, 2))
    return F.when(number != "", F.regexp_replace(number, ",", "")).cast("double")


def parsed_votes(text: Column) -> Column:
    """Helpful votes of `5` or `1,234`, or of 2014's `[helpful, all]`; null for anything else."""
    digits = F.replace(F.concat(F.regexp_extract(text, _VOTES, 1), F.regexp_extract(text, _VOTES, 2)), F.lit(","))
    return F.when(F.length(digits).between(1, 9), digits).cast("int")


def decoded(text: Column) -> Column:
    """HTML entities as characters, once: `&amp;lt;` becomes `&lt;`. Tabs, newlines and runs of spaces become one."""
    simple = text
    for entity, character in _COMMON.items():
        simple = F.replace(simple, F.lit(entity), F.lit(character))
    others = F.when(simple.rlike(_ENTITY), _with_rare_entities(simple)).otherwise(simple)
    ampersands = F.replace(F.replace(others, F.lit("&#38;"), F.lit("&")), F.lit("&amp;"), F.lit("&"))
    plain = F.when(text.contains("&"), ampersands).otherwise(text)
    return F.when(plain.rlike(r"\s\s|[\t\n\r]|^\s|\s$"), F.trim(F.regexp_replace(plain, r"\s+", " "))).otherwise(plain)


def non_empty(text: Column) -> Column:
    """Null instead of empty text."""
    return F.when(text != "", text)


def text_list(values: Column) -> Column:
    """A list without nulls and empty texts; an empty list when there is none."""
    kept = F.filter(values, lambda value: value.isNotNull() & (value != ""))
    return F.coalesce(kept, F.array().cast("array<string>"))


def _with_rare_entities(text: Column) -> Column:
    # One literal that Spark splits once: a thousand literals would take seconds to plan.
    entities = "\n".join(f"{entity} {character}" for entity, character in _rare_entities().items())
    return F.aggregate(
        F.split(F.lit(entities), "\n"),
        text,
        lambda done, pair: F.replace(done, F.substring_index(pair, " ", 1), F.substring_index(pair, " ", -1)),
    )


def _rare_entities() -> dict[str, str]:
    named = {f"&{name};": chr(point) for name, point in html.entities.name2codepoint.items() if name != "amp"}
    numbers = [*range(33, 256), 8211, 8212, 8216, 8217, 8220, 8221, 8226, 8230, 8482]
    return named | {f"&#{point};": chr(point) for point in numbers if point != ord("&")}
