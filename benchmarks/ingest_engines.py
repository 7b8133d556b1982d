"""One reader of `ingest_beside_others`, run by the Python that has it: `READER KIND WORK SOURCE TARGET CORES`.

READER is duckdb or polars, KIND csv or json. WORK is `plain` (read, cast, write four columns) or `same` (the columns of
`reviews`, a hash of the fields, and only lines whose ids, rating and time are what they should be).
"""

import os
import sys

_IDS = "[0-9A-Z]{1,128}"
_FIRST, _LAST = 788_918_400, 1_924_991_999  # Seconds since 1970, the default ingestion.first_day and last_day.


def duckdb_query(kind: str, work: str, source: str) -> str:
    if kind == "csv":
        lines = f"""SELECT column1 AS user_id, column0 AS item_id, column2 AS rating, column3 AS timestamp,
            NULL::BOOLEAN AS verified, NULL::INTEGER AS votes FROM read_csv('{source}/*.csv', header=false,
            columns={{'column0': 'VARCHAR', 'column1': 'VARCHAR', 'column2': 'FLOAT', 'column3': 'BIGINT'}})"""
    else:
        lines = f"""SELECT reviewerID AS user_id, asin AS item_id, overall AS rating, unixReviewTime AS timestamp,
            verified, replace(vote, ',', '')::INTEGER AS votes FROM read_json('{source}/*.json',
            format='newline_delimited', columns={{'reviewerID': 'VARCHAR', 'asin': 'VARCHAR', 'overall': 'FLOAT',
            'unixReviewTime': 'BIGINT', 'verified': 'BOOLEAN', 'vote': 'VARCHAR'}})"""
    if work == "plain":
        return f"SELECT user_id, item_id, rating, timestamp FROM ({lines})"
    return f"""SELECT user_id, item_id, rating, timestamp, verified, votes, NULL::VARCHAR AS "group",
        hash(user_id, item_id, rating, timestamp) AS line_hash FROM ({lines})
        WHERE regexp_full_match(user_id, '{_IDS}') AND regexp_full_match(item_id, '{_IDS}')
        AND rating BETWEEN 0 AND 5 AND timestamp BETWEEN {_FIRST} AND {_LAST}"""


def run_duckdb(kind: str, work: str, source: str, target: str, cores: int) -> None:
    import duckdb

    duckdb.sql(f"SET threads={cores}; SET memory_limit='6GB'; SET preserve_insertion_order=false")
    duckdb.sql(f"COPY ({duckdb_query(kind, work, source)}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


def run_polars(kind: str, work: str, source: str, target: str, cores: int) -> None:
    os.environ["POLARS_MAX_THREADS"] = str(cores)
    import polars as pl

    if kind == "csv":
        names = ["item_id", "user_id", "rating", "timestamp"]
        schema = dict(zip(names, [pl.String, pl.String, pl.Float32, pl.Int64], strict=True))
        lines = pl.scan_csv(f"{source}/*.csv", has_header=False, schema=schema)
        more = [pl.lit(None, pl.Boolean).alias("verified"), pl.lit(None, pl.Int32).alias("votes")]
    else:
        schema = {"reviewerID": pl.String, "asin": pl.String, "overall": pl.Float32, "unixReviewTime": pl.Int64}
        schema |= {"verified": pl.Boolean, "vote": pl.String}
        lines = pl.scan_ndjson(f"{source}/*.json", schema=schema)
        lines = lines.rename({"reviewerID": "user_id", "asin": "item_id", "overall": "rating"})
        lines = lines.rename({"unixReviewTime": "timestamp"})
        more = [pl.col("verified"), pl.col("vote").str.replace_all(",", "", literal=True).cast(pl.Int32).alias("votes")]
    columns = [pl.col(name) for name in ("user_id", "item_id", "rating", "timestamp")]
    if work == "same":
        ids = f"^{_IDS}$"
        lines = lines.filter(
            pl.col("user_id").str.contains(ids) & pl.col("item_id").str.contains(ids),
            pl.col("rating").is_between(0, 5) & pl.col("timestamp").is_between(_FIRST, _LAST),
        )
        columns += [*more, pl.lit(None, pl.String).alias("group"), pl.struct(columns).hash().alias("line_hash")]
    lines.select(columns).sink_parquet(target, compression="zstd")


if __name__ == "__main__":
    reader, kind, work, source, target, cores = sys.argv[1:]
    {"duckdb": run_duckdb, "polars": run_polars}[reader](kind, work, source, target, int(cores))
