"""Reads the files and metadata that rules name, and writes what rules must know of each item as arrays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from seqrec.core.columns import BRAND, CATEGORY, CATEGORY_INDEX, ITEM, ITEM_INDEX, PRICE
from seqrec.core.errors import DataError, reason_of
from seqrec.core.local_copies import save_array
from seqrec.core.manifest import Attempt, Manifest
from seqrec.core.storage import Storage, stream_digest
from seqrec.events.ragged import column
from seqrec.events.vocabulary import CATEGORIES, ITEMS, Vocabulary, read_names
from seqrec.recommendation.rules.selection import BARRING
from seqrec.recommendation.rules_config import RulesConfig
from seqrec.tables.arrow_bytes import BYTE_ROWS, from_bytes, to_byte_rows
from seqrec.tables.files import read_table
from seqrec.tables.metadata import read_metadata
from seqrec.tables.prepared_schemas import VOCABULARY_ITEMS

BARRED, BRANDS = "barred.npy", "brands.npy"
_FILES = ("blocked_items", "blocked_categories", "in_stock")
_NAMED = 3  # Unknown ids that are named.


def rule_files_digests(config: RulesConfig) -> dict[str, str]:
    """Key -> digest of the file that it names.

    Raises:
        DataError: a file cannot be read.
    """
    digests = {}
    for key in _FILES:
        path = getattr(config, key)
        if path is not None:
            try:
                with Path(path).open("rb") as stream:
                    digests[f"rules.{key}"] = stream_digest(stream)[:32]
            except OSError as error:
                raise _unreadable(key, path, error) from None
    return digests


def write_item_facts(
    spark: SparkSession, attempt: Attempt, prepared: Manifest, vocabulary: Vocabulary, config: RulesConfig, folder: str
) -> dict[str, Any]:
    """Writes which items are barred, and their brands, below `folder`.

    Returns: for each rule the number of items that it bars, and of each file the unknown ids: how many, and the first.

    Raises:
        DataError: a file cannot be read or holds nothing, or the data have no metadata for a rule.
    """
    storage, num_items = attempt.storage, vocabulary.num_items
    barred, report = np.zeros(num_items + 1, np.uint8), {}
    for key, bit in (("blocked_items", 0), ("in_stock", 2)):
        path = getattr(config, key)
        if path is not None:
            is_named, unknown = _named_items(storage, prepared, read_ids(key, path), num_items)
            is_out = ~is_named if key == "in_stock" else is_named
            report[key] = _note(barred, is_out, bit) | unknown
    if config.blocked_categories is not None:
        wanted = read_ids("blocked_categories", config.blocked_categories)
        index, names = read_names(storage, prepared.table(CATEGORIES), CATEGORY_INDEX, CATEGORY)
        found = pc.is_in(names, value_set=wanted).to_numpy(zero_copy_only=False)
        unknown = _unknown(wanted, names.filter(pa.array(found)))
        report["blocked_categories"] = _note(barred, np.isin(vocabulary.item_category, index[found]), 1) | unknown
    brands = np.zeros(num_items + 1, np.int32)
    if config.max_per_brand is not None or "price" in config.active:
        brand, price = _brands_and_prices(spark, storage, prepared, num_items)
        brands = np.unique(brand, return_inverse=True)[1].astype(np.int32)  # No brand is 0, the smallest.
        report["brand"] = {"items_without_a_brand": int((brand[1:] == 0).sum())}
        if "price" in config.active:
            low = -np.inf if config.min_price is None else config.min_price
            high = np.inf if config.max_price is None else config.max_price
            has_none = np.isnan(price)
            is_out = np.where(has_none, not config.keep_unpriced, (price < low) | (price > high))
            report["price"] = _note(barred, is_out, 3) | {"items_without_a_price": int(has_none[1:].sum())}
    save_array(storage, f"{folder}/{BRANDS}", brands)
    save_array(storage, f"{folder}/{BARRED}", barred)
    return report


def read_ids(key: str, path: str) -> pa.Array:
    """The ids in a text file, one per line, or in the column item_id of Parquet; each once.

    Raises:
        DataError: the file cannot be read, or holds none.
    """
    try:
        if path.endswith(".parquet"):
            ids = pq.read_table(path, columns=[ITEM]).column(ITEM).cast(pa.string()).combine_chunks()
        else:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
            ids = pa.array([line.strip() for line in lines if line.strip()], pa.string())
    except (OSError, UnicodeDecodeError, pa.ArrowException, KeyError) as error:
        raise _unreadable(key, path, error) from None
    ids = pc.unique(ids.drop_null())
    if not len(ids):
        raise DataError(f"recommendation.rules.{key}: {path}: it holds no ids. Write one per line.")
    return ids


def _unreadable(key: str, path: str, error: Exception) -> DataError:
    return DataError(
        f"recommendation.rules.{key}: {path}: cannot be read ({reason_of(error)}). Give a text file, one id per line."
    )


def _named_items(
    storage: Storage, prepared: Manifest, ids: pa.Array, num_items: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """bool [number of items + 1], and what is unknown of `ids`; the vocabulary is read in batches."""
    is_named, known = np.zeros(num_items + 1, np.bool_), np.zeros(len(ids), np.bool_)
    for batch in _vocabulary_batches(storage, prepared):
        place = pc.index_in(batch.column(ITEM), value_set=ids)
        is_named[column(batch, ITEM_INDEX)[place.is_valid().to_numpy(zero_copy_only=False)]] = True
        known[place.drop_null().to_numpy()] = True
    return is_named, _unknown(ids, ids.filter(pa.array(known)))


def _vocabulary_batches(storage: Storage, prepared: Manifest) -> Iterator[pa.RecordBatch]:
    for file in prepared.table(ITEMS).files:
        with storage.open_input(file.path) as stream:
            yield from pq.ParquetFile(stream).iter_batches(1 << 17, columns=[ITEM_INDEX, ITEM])


def _unknown(wanted: pa.Array, found: pa.Array) -> dict[str, Any]:
    missing = wanted.filter(pc.invert(pc.is_in(wanted, value_set=found)))
    return {"ids": len(wanted), "unknown_ids": len(missing), "first_unknown": missing[:_NAMED].to_pylist()}


def _note(barred: np.ndarray, is_out: np.ndarray, bit: int) -> dict[str, Any]:
    barred[1:] |= is_out[1:].astype(np.uint8) << bit
    assert bit < len(BARRING)
    return {"items_barred": int(is_out[1:].sum())}


def _brands_and_prices(
    spark: SparkSession, storage: Storage, prepared: Manifest, num_items: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the items' brands, int64, 0 without one, and prices, NaN without one. Names stay in Spark."""
    metadata = read_metadata(spark, storage, prepared.name)
    if metadata is None:
        raise DataError(
            f"recommendation.rules: ingested '{prepared.name}' has no metadata, so no brands and prices are known. "
            "Leave out max_per_brand, min_price and max_price, or ingest the data with source.metadata."
        )
    name = F.lower(F.trim(F.col(BRAND)))
    number = F.abs(F.xxhash64(name) % F.lit((1 << 53) - 1)) + 1
    facts = metadata.groupBy(ITEM).agg(
        F.min(F.when(F.length(name) > 0, number)).alias(BRAND),
        F.min(F.when(F.col(PRICE) > 0, F.col(PRICE))).alias(PRICE),
    )
    names = read_table(spark, storage, prepared, ITEMS, VOCABULARY_ITEMS).select(ITEM_INDEX, ITEM)
    rows = names.join(facts, on=ITEM, how="inner").select(
        ITEM_INDEX, F.coalesce(BRAND, F.lit(0)).alias(BRAND), F.coalesce(PRICE, F.lit(float("nan"))).alias(PRICE)
    )
    brand, price = np.zeros(num_items + 1, np.int64), np.full(num_items + 1, np.nan)
    for packed in rows.mapInArrow(to_byte_rows, BYTE_ROWS).toLocalIterator():
        part = from_bytes(bytes(packed[0]))
        index = part.column(0).to_numpy()
        brand[index], price[index] = part.column(1).to_numpy(), part.column(2).to_numpy()
    return brand, price
