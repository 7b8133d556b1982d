"""Spark schemas of the tables that `prepare` writes, and of its scratch tables.

No column is nullable and lists are flat, because Petastorm turns a null integer into another number and drops structs.
"""

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from seqrec.core import columns as C
from seqrec.tables.arrow_bytes import arrow_row_schema

_INTEGERS = ArrayType(IntegerType(), containsNull=False)
_LONGS = ArrayType(LongType(), containsNull=False)

USER_KEY = "user_key"  # xxhash64 of the user id; random draws and the order within files depend on it.
ITEM_KEY = "item_key"
ITEM_NUMBER = "item_number"  # Rank of the item id among all ids, from 0; identifies an item until it has an index.
TIE = "tie"
NUM_REVIEWS = "num_reviews"
NUM_UNIQUE = "num_unique"
NUM_USERS = "num_users"
NUM_EVENTS = "num_events"
FILE_KEY = "file_key"
ROW = "row"  # Number that orders the rows of one user.
CHUNK = "chunk"  # The rows that one bucket contributes to one file, as bytes.


def _table(**fields: DataType) -> StructType:
    return StructType([StructField(name, kind, nullable=False) for name, kind in fields.items()])


VOCABULARY_ITEMS_TABLE = "vocabulary/items"
VOCABULARY_CATEGORIES_TABLE = "vocabulary/categories"
# Item indices begin at 1, as 0 is padding. Category indices begin at 1 too: 0 is a missing category.
VOCABULARY_ITEMS = _table(
    **{C.ITEM_INDEX: IntegerType(), C.ITEM: StringType(), C.CATEGORY_INDEX: IntegerType(), C.TRAIN_COUNT: LongType()}
)
VOCABULARY_CATEGORIES = _table(**{C.CATEGORY_INDEX: IntegerType(), C.CATEGORY: StringType(), C.TRAIN_COUNT: LongType()})
VOCABULARY_FEATURES = _table(**{C.FEATURE_ROW: IntegerType(), C.FEATURE_VALUE: StringType()})
TRAIN = _table(
    **{
        C.USER: StringType(),
        C.ITEM_INDICES: _INTEGERS,
        C.TIMESTAMPS: _LONGS,
        C.FIRST_TIMESTAMP: LongType(),
        C.NUM_CONTEXT: IntegerType(),
    }
)
EVALUATION = _table(
    **{
        C.USER: StringType(),
        C.POSITION: IntegerType(),
        C.HISTORY_ITEMS: _INTEGERS,
        C.HISTORY_TIMESTAMPS: _LONGS,
        C.FIRST_TIMESTAMP: LongType(),
        C.TARGET_ITEM: IntegerType(),
        C.TARGET_TIMESTAMP: LongType(),
        C.NEGATIVE_ITEMS: _INTEGERS,
    }
)
LATEST = _table(
    **{
        C.USER: StringType(),
        C.HISTORY_ITEMS: _INTEGERS,
        C.HISTORY_TIMESTAMPS: _LONGS,
        C.FIRST_TIMESTAMP: LongType(),
    }
)

# One row per user, events in time order. Items are numbers before the k-core and indices after it.
USER_EVENTS = _table(**{C.USER: StringType(), USER_KEY: LongType(), C.ITEM_INDICES: _INTEGERS, C.TIMESTAMPS: _LONGS})

# Scratch tables: one row holds the USER_EVENTS of a bucket of users as bytes (`to_arrow_row`), and its counts.
KEPT_EVENTS = arrow_row_schema(USER_EVENTS)
ALL_EVENTS = arrow_row_schema(
    USER_EVENTS,
    NUM_USERS,
    NUM_REVIEWS,  # Reviews before duplicates were dropped.
    NUM_UNIQUE,  # Reviews after exact duplicates were dropped.
    NUM_EVENTS,  # Events after repeated items were dropped.
)
CHUNKS = StructType(
    [StructField(FILE_KEY, LongType(), nullable=False), StructField(CHUNK, BinaryType(), nullable=False)]
)
ROUTING = (USER_KEY, ROW)  # Columns that place a row within its file; they are not written.


def num_repeated_events() -> Column:
    """For a row of TRAIN, the number of leading events that another segment of the user holds as its own.

    These are its context, except at a user's very first event: no event is before it, so it can be nobody's target and
    counts as context, but no other segment holds it.
    """
    starts_user = (F.element_at(C.TIMESTAMPS, 1) == F.col(C.FIRST_TIMESTAMP)) & (F.col(C.NUM_CONTEXT) == 1)
    return F.when(starts_user, 0).otherwise(F.col(C.NUM_CONTEXT))
