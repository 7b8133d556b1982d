"""The links that an item's metadata names: bought or viewed beside it."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import ITEM, ITEM_INDEX
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.neighbours.co_visitation import FIRST, SECOND
from seqrec.tables.files import read_table
from seqrec.tables.metadata import read_metadata
from seqrec.tables.prepared_schemas import VOCABULARY_ITEMS, VOCABULARY_ITEMS_TABLE

PLACE = "place"


def read_links(
    spark: SparkSession, storage: Storage, prepared: Manifest, edges: str, max_links: int | None = None
) -> DataFrame | None:
    """One row per pair of items of the vocabulary of which the first's metadata names the second.

    Args:
        edges: the column of names, ALSO_BUY or ALSO_VIEW.
        max_links: names of an item that are read, from the first; None: all.
    Returns: FIRST, SECOND and PLACE, the earliest place of the name in its list, from 0; an item may name itself. None
        if there is no metadata.
    """
    items = read_metadata(spark, storage, prepared.name)
    if items is None:
        return None
    vocabulary = read_table(spark, storage, prepared, VOCABULARY_ITEMS_TABLE, VOCABULARY_ITEMS)
    firsts = vocabulary.select(ITEM, F.col(ITEM_INDEX).alias(FIRST))
    seconds = vocabulary.select(F.col(ITEM).alias("other"), F.col(ITEM_INDEX).alias(SECOND))
    names = F.col(edges) if max_links is None else F.slice(edges, 1, max_links)
    return (
        items.select(ITEM, F.posexplode(names).alias(PLACE, "other"))
        .join(firsts, on=ITEM, how="inner")
        .join(seconds, on="other", how="inner")
        .groupBy(FIRST, SECOND)
        .agg(F.min(PLACE).alias(PLACE))
    )
