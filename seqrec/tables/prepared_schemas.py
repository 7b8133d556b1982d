"""Spark schemas of the tables that this stage writes, and of its scratch tables.

Nothing is null and lists are flat: Petastorm turns a null integer into another number, and drops structs.
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

USER_KEY = "user_key"  # xxhash64 of the user id: what random draws and the order within files hang on.
ITEM_KEY = "item_key"
ITEM_NUMBER = "item_number"  # Rank of the item id among all ids, from 0: an item's name until it has an index.
TIE = "tie"
NUM_REVIEWS = "num_reviews"
NUM_UNIQUE = "num_unique"
NUM_USERS = "num_users"
NUM_EVENTS = "num_events"
FILE_KEY = "file_key"
ROW = "row"  # Orders the rows of one user.
CHUNK = "chunk"  # Rows of one bucket for one file.


def _table(**fields: DataType) -> StructType:
    return StructType([StructField(name, kind, nullable=False) for name, kind in fields.items()])


VOCABULARY_ITEMS_TABLE = "vocabulary/items"
VOCABULARY_CATEGORIES_TABLE = "vocabulary/categories"
# Item indices begin at 1; no row for 0, which is padding. Category 0, a missing category, has no row either.
VOCABULARY_ITEMS = _table(
    **{C.ITEM_INDEX: IntegerType(), C.ITEM: StringType(), C.CATEGORY_INDEX: IntegerType(), C.TRAIN_COUNT: LongType()}
)
VOCABULARY_CATEGORIES = _table(**{C.CATEGORY_INDEX: IntegerType(), C.CATEGORY: StringType(), C.TRAIN_COUNT: LongType()})
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

# Scratch tables: one row holds USER_EVENTS of a bucket of users, packed; and what it was made of.
KEPT_EVENTS = arrow_row_schema(USER_EVENTS)
ALL_EVENTS = arrow_row_schema(
    USER_EVENTS,
    NUM_USERS,
    NUM_REVIEWS,  # Before duplicates went.
    NUM_UNIQUE,  # After exact duplicates went.
    NUM_EVENTS,  # After repeated items went.
)
CHUNKS = StructType(
    [StructField(FILE_KEY, LongType(), nullable=False), StructField(CHUNK, BinaryType(), nullable=False)]
)
ROUTING = (USER_KEY, ROW)  # Bring a row to its place in its file; they are not written.


def num_repeated_events() -> Column:
    """For a row of TRAIN, the number of leading events that another segment of the user holds as its own.

    That is its context, but for a user's very first event: it is nobody's target, so it counts as context too.
    """
    starts_user = (F.element_at(C.TIMESTAMPS, 1) == F.col(C.FIRST_TIMESTAMP)) & (F.col(C.NUM_CONTEXT) == 1)
    return F.when(starts_user, 0).otherwise(F.col(C.NUM_CONTEXT))
