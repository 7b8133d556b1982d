"""Numbers for item ids: dense, in the order of the ids, and made without any string on the driver.

An item is looked up by the 64-bit hash of its id. The hashes of all distinct ids are compared once: if two collide
(the odds are 6 in a million for 15 million items), another salt is tried, so the numbers are exact.
"""

from dataclasses import dataclass

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from seqrec.core.columns import ITEM
from seqrec.core.errors import DataError
from seqrec.preparation.negatives.search_guide import SearchGuide
from seqrec.tables.prepared_schemas import ITEM_KEY, ITEM_NUMBER

_BLOCK, _PLACE = "block", "place"
_SALTS = 4
_ITEMS_PER_BLOCK = 500_000


@dataclass(frozen=True)
class ItemNumbers:
    """Maps the key of an item (a 64-bit hash of its id) to its number, 0 .. size - 1 in the order of the ids."""

    keys: np.ndarray  # int64 [size], ascending.
    numbers: np.ndarray  # int32 [size], the number of the item with keys[i].
    salt: int  # The salt of `item_key` under which no two keys are equal.
    guide: SearchGuide  # Speeds up the search in `keys`.

    @property
    def size(self) -> int:
        return len(self.keys)

    @property
    def keys_by_number(self) -> np.ndarray:
        """int64 [size], the key of each item number."""
        keys = np.empty_like(self.keys)
        keys[self.numbers] = self.keys
        return keys

    def find(self, keys: np.ndarray) -> np.ndarray:
        """int32, the numbers of the items with these keys; each key must be known."""
        return self.numbers[self.guide.find(self.keys, keys) - 1]


def item_key(salt: int) -> Column:
    """The 64-bit hash of the item id, as a column."""
    return F.xxhash64(F.lit(salt), F.col(ITEM))


def write_numbered_items(reviews: DataFrame, uri: str) -> DataFrame:
    """One row per distinct item with `item_number`, its rank by id; written below `uri`, so that ranks never change."""
    spark = reviews.sparkSession
    reviews.select(ITEM).distinct().write.parquet(f"{uri}/distinct", mode="overwrite")
    distinct = spark.read.parquet(f"{uri}/distinct")
    blocks = distinct.count() // _ITEMS_PER_BLOCK
    spread = distinct.repartitionByRange(blocks, ITEM) if blocks > 1 else distinct.repartition(1)
    ordered = spread.sortWithinPartitions(ITEM)
    place = F.monotonically_increasing_id().bitwiseAND(F.lit((1 << 33) - 1))
    ordered.select(ITEM, F.spark_partition_id().alias(_BLOCK), place.alias(_PLACE)).write.parquet(
        f"{uri}/ordered", mode="overwrite"
    )
    placed = spark.read.parquet(f"{uri}/ordered")
    sizes = {row[_BLOCK]: row["count"] for row in placed.groupBy(_BLOCK).count().collect()}
    starts = [sum(size for block, size in sizes.items() if block < b) for b in range(max(sizes) + 1)]
    start = F.element_at(F.array(*[F.lit(s) for s in starts]), F.col(_BLOCK) + 1)
    return placed.select(ITEM, (start + F.col(_PLACE)).cast("int").alias(ITEM_NUMBER))


def collect_item_numbers(items: DataFrame) -> ItemNumbers:
    """Keys and numbers of a table of numbered items, as arrays that every worker can look up in.

    Raises:
        DataError: keys collide whatever the salt.
    """
    for salt in range(_SALTS):
        columns = items.select(item_key(salt).alias(ITEM_KEY), ITEM_NUMBER).toPandas()
        keys, numbers = columns[ITEM_KEY].to_numpy(), columns[ITEM_NUMBER].to_numpy()
        order = np.argsort(keys)
        keys = keys[order]
        if (keys[1:] != keys[:-1]).all():
            return ItemNumbers(keys, numbers[order], salt, SearchGuide.of(keys))
    raise DataError(f"{len(keys)} item ids collide under {_SALTS} different 64-bit hashes: the item table is damaged.")
