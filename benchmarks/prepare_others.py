"""DuckDB, Polars and the reference on the work of `prepare`: one engine a process; see prepare_beside_others.py.

    python prepare_others.py duckdb|polars|reference REVIEWS_FOLDER OUTPUT_FOLDER

Exact duplicates out, 5-core to the fixpoint, vocabulary of the training events, one row per user with its events in
time order (ties by hash), as Parquet. None of them makes histories, negatives, segments or equal files: this is the
part of the stage's work that they can be asked for. The reference makes its own text files instead.
"""

import shutil
import sys
import time
from pathlib import Path

MIN_INTERACTIONS = 5


def prepare_with_duckdb(reviews: str, output: Path) -> None:
    import duckdb

    database = duckdb.connect()
    database.execute(f"SET threads=2; SET memory_limit='18GB'; SET temp_directory='{output}/spill'")
    database.execute(
        f"""CREATE TABLE core AS
        WITH kept AS (SELECT DISTINCT user_id, item_id, timestamp, line_hash FROM '{reviews}/*.parquet'),
        users AS (SELECT user_id, row_number() OVER () AS u FROM (SELECT DISTINCT user_id FROM kept)),
        items AS (SELECT item_id, row_number() OVER () AS i FROM (SELECT DISTINCT item_id FROM kept))
        SELECT u, i, timestamp AS t, user_id, item_id FROM kept JOIN users USING (user_id) JOIN items USING (item_id)"""
    )
    before, rows = -1, database.execute("SELECT count(*) FROM core").fetchone()[0]
    while rows != before:
        database.execute(
            f"""CREATE OR REPLACE TABLE core AS SELECT * FROM core
            WHERE u IN (SELECT u FROM core GROUP BY u HAVING count(*) >= {MIN_INTERACTIONS})"""
        )
        database.execute(
            f"""CREATE OR REPLACE TABLE core AS SELECT * FROM core
            WHERE i IN (SELECT i FROM core GROUP BY i HAVING count(*) >= {MIN_INTERACTIONS})"""
        )
        before, rows = rows, database.execute("SELECT count(*) FROM core").fetchone()[0]
    database.execute(
        """CREATE TABLE ranked AS SELECT *, row_number() OVER (PARTITION BY u ORDER BY t, hash(user_id, item_id)) AS k,
        count(*) OVER (PARTITION BY u) AS n FROM core"""
    )
    database.execute(
        """CREATE TABLE vocabulary AS SELECT item_id, i, row_number() OVER (ORDER BY c DESC, item_id) AS item_index, c
        FROM (SELECT item_id, i, sum(CASE WHEN n > 3 AND k <= n - 2 THEN 1 ELSE 0 END) AS c FROM ranked GROUP BY ALL)"""
    )
    database.execute(f"COPY vocabulary TO '{output}/vocabulary.parquet' (COMPRESSION zstd)")
    database.execute(
        f"""COPY (
            SELECT any_value(user_id) AS user_id, list(item_index ORDER BY k) AS items, list(t ORDER BY k) AS times
            FROM ranked JOIN vocabulary USING (i) GROUP BY u
        ) TO '{output}/sequences.parquet' (COMPRESSION zstd)"""
    )
    print(f"kept {rows}")


def prepare_with_polars(reviews: str, output: Path) -> None:
    import polars as pl

    core = (
        pl.scan_parquet(f"{reviews}/*.parquet")
        .select("user_id", "item_id", "timestamp", "line_hash")
        .unique()
        .with_columns(
            u=pl.col("user_id").rank("dense").cast(pl.UInt32), i=pl.col("item_id").rank("dense").cast(pl.UInt32)
        )
        .with_columns(tie=pl.struct("user_id", "item_id").hash(1))
        .collect()
    )
    users = core.select("u", "user_id").unique()
    items = core.select("i", "item_id").unique()
    core = core.select("u", "i", "timestamp", "tie")
    before = -1
    while before != len(core):
        before = len(core)
        core = core.filter(pl.len().over("u") >= MIN_INTERACTIONS).filter(pl.len().over("i") >= MIN_INTERACTIONS)
    core = core.sort("u", "timestamp", "tie").with_columns(
        k=pl.int_range(pl.len()).over("u"), n=pl.len().over("u").cast(pl.Int64)
    )
    trains = (pl.col("n") > 3) & (pl.col("k") < pl.col("n") - 2)
    vocabulary = (
        core.group_by("i").agg(c=trains.sum()).join(items, on="i").sort(["c", "item_id"], descending=[True, False])
    ).with_row_index("item_index", offset=1)
    vocabulary.write_parquet(output / "vocabulary.parquet", compression="zstd")
    sequences = (
        core.join(vocabulary.select("i", "item_index"), on="i", maintain_order="left")
        .group_by("u", maintain_order=True)
        .agg(items="item_index", times="timestamp")
        .join(users, on="u")
        .drop("u")
    )
    sequences.write_parquet(output / "sequences.parquet", compression="zstd")
    print(f"kept {len(core)}")


def prepare_with_reference(reviews: str, output: Path) -> None:
    """recommenders 1.2.1 from its own text of (user, item, time) on: no duplicates, no k-core, negatives 4 and 49."""
    from recommenders.datasets import amazon_reviews as reference

    started = time.monotonic()
    instances = reference._create_instance(f"{reviews}/reviews_output", f"{reviews}/meta_output")
    reference._create_item2cate(instances)
    sampled = reference._get_sampled_data(instances, sample_rate=1)
    split = reference._data_processing(sampled)
    files = {part: str(output / part) for part in ("train", "valid", "test")}
    reference._data_generating(split, files["train"], files["valid"], files["test"])
    vocabularies = [str(output / name) for name in ("users", "items", "categories")]
    reference._create_vocab(files["train"], *vocabularies)
    reference._negative_sampling_offline(sampled, files["valid"], files["test"], 4, 49)
    print(f"{time.monotonic() - started:.1f} s after its imports")


def main() -> None:
    engine, reviews, output = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    {"duckdb": prepare_with_duckdb, "polars": prepare_with_polars, "reference": prepare_with_reference}[engine](
        reviews, output
    )


if __name__ == "__main__":
    main()
