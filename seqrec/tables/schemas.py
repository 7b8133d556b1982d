"""Spark schemas of the tables that `ingest` writes. Readers pass them to Spark, so that it infers nothing."""

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from seqrec.core import columns as C

_STRINGS = ArrayType(StringType(), containsNull=False)

REVIEWS = StructType(
    [
        StructField(C.USER, StringType(), nullable=False),
        StructField(C.ITEM, StringType(), nullable=False),
        StructField(C.RATING, FloatType()),
        StructField(C.TIMESTAMP, LongType(), nullable=False),  # Seconds since 1970, UTC.
        StructField(C.VERIFIED, BooleanType()),
        StructField(C.VOTES, IntegerType()),
        StructField(C.GROUP, StringType()),
        StructField(C.LINE_HASH, LongType(), nullable=False),
    ]
)

ITEMS = StructType(
    [
        StructField(C.ITEM, StringType(), nullable=False),
        StructField(C.CATEGORY, StringType()),  # Null when missing.
        StructField(C.CATEGORY_PATH, _STRINGS),
        StructField(C.GROUP, StringType()),
        StructField(C.TITLE, StringType()),
        StructField(C.BRAND, StringType()),
        StructField(C.PRICE, DoubleType()),
        StructField(C.ALSO_BUY, _STRINGS),
        StructField(C.ALSO_VIEW, _STRINGS),
    ]
)
