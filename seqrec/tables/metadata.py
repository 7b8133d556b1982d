"""The metadata of items, which a dataset may lack."""

from pyspark.sql import DataFrame, SparkSession

from seqrec.core.manifest import Dataset
from seqrec.core.storage import Storage
from seqrec.tables import schemas
from seqrec.tables.files import read_table


def read_metadata(spark: SparkSession, storage: Storage, name: str) -> DataFrame | None:
    """The table `items` of `ingested/<name>`; None if it is not there or has no rows."""
    manifest = Dataset(storage, "ingested", name).manifest()
    if manifest is None or "items" not in manifest.tables or not manifest.tables["items"].rows:
        return None
    return read_table(spark, storage, manifest, "items", schemas.ITEMS)
