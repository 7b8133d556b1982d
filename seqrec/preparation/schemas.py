"""Spark schemas of the tables that this stage writes, and of its scratch tables.

Nothing is null and lists are flat: Petastorm turns a null integer into another number, and drops structs.
"""

from pyspark.sql.types import (
    ArrayType,
    DataType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from seqrec.core import columns as C

_INTEGERS = ArrayType(IntegerType(), containsNull=False)
_LONGS = ArrayType(LongType(), containsNull=False)

USER_KEY = "user_key"  # xxhash64 of the user id: what random draws and the order within files hang on.
ITEM_KEY = "item_key"
ITEM_NUMBER = "item_number"  # Rank of the item id among all ids, from 0: an item's name until it has an index.
TIE = "tie"
NUM_REVIEWS = "num_reviews"
NUM_UNIQUE = "num_unique"
FILE_KEY = "file_key"
ROW = "row"  # Orders the rows of one user.


def _table(**fields: DataType) -> StructType:
    return StructType([StructField(name, kind, nullable=False) for name, kind in fields.items()])


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
USER_EVENTS = _table(
    **{
        C.USER: StringType(),
        C.ITEM_INDICES: _INTEGERS,
        C.TIMESTAMPS: _LONGS,
        NUM_REVIEWS: IntegerType(),  # The user's reviews before duplicates went.
        NUM_UNIQUE: IntegerType(),  # The user's reviews after exact duplicates went.
    }
)
KEPT_EVENTS = _table(**{C.USER: StringType(), C.ITEM_INDICES: _INTEGERS, C.TIMESTAMPS: _LONGS})


def with_routing(schema: StructType) -> StructType:
    """`schema` and the columns that bring a row to its file and to its place there; they are not written."""
    extra = [StructField(name, LongType(), nullable=False) for name in (FILE_KEY, USER_KEY, ROW)]
    return StructType([*schema.fields, *extra])
