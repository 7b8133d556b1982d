"""Settings that name a file which is not as it should be: the file is corrected as the message says, and then read."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from seqrec.core.errors import ConfigError, DataError
from seqrec.pipeline.config import load_run_config
from seqrec.recommendation.config import RecommendationConfig
from seqrec.recommendation.lists.users import listed_users, read_histories_file

HISTORY = {"user_id": "ann", "item_ids": ["a", "b"], "timestamps": [1_400_000_000, 1_400_086_400]}


def parquet(**columns) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({**{name: [value] for name, value in HISTORY.items()}, **columns}), sink)
    return sink.getvalue().to_pybytes()


def line(**changes) -> bytes:
    return json.dumps(HISTORY | changes).encode() + b"\n"


HISTORIES = {  # Name, content, message, corrected name and content.
    "not Parquet": ("h.parquet", line(), "Give JSON lines or Parquet", "h.json", line()),
    "other types": (
        "h.parquet",
        parquet(user_id=[0.5]),
        "Give user_id as strings, item_ids as lists of strings and timestamps as lists of whole seconds",
        "h.parquet",
        parquet(user_id=["ann"]),
    ),
    "no rows": ("h.json", b"", "Write one row per user: user_id, item_ids, timestamps", "h.json", line()),
    "one time missing": (
        "h.json",
        line(timestamps=[1]),
        "two lists of one length. Fix them; times are whole seconds since 1970",
        "h.json",
        line(timestamps=[1, 2]),
    ),
    "milliseconds": (
        "h.json",
        line(timestamps=[1_400_000_000_000, 1_400_086_400_000]),
        "divide milliseconds by 1000",
        "h.json",
        line(timestamps=[1_400_000_000_000 // 1000, 1_400_086_400_000 // 1000]),
    ),
}


@pytest.mark.parametrize("kind", HISTORIES)
def test_a_file_of_histories_is_read_once_it_is_as_the_message_says(
    spark: SparkSession, tmp_path: Path, kind: str
) -> None:
    name, content, advice, good_name, good = HISTORIES[kind]
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError, match=f"recommendation.histories_file: .*{re.escape(advice)}"):
        read_histories_file(spark, str(tmp_path / name))

    (tmp_path / good_name).write_bytes(good)
    rows, _ = read_histories_file(spark, str(tmp_path / good_name))
    assert [(row[0], row[1]) for row in rows.collect()] == [("ann", ["a", "b"])]


@pytest.mark.parametrize(
    ("content", "advice"), [(b"\xff\xfea\0n\0n\0", "Give a text file of user ids"), (b" \n", "Write one id per line")]
)
def test_a_file_of_users_is_read_once_it_is_as_the_message_says(tmp_path: Path, content: bytes, advice: str) -> None:
    config = RecommendationConfig(users_file=str(tmp_path / "users.txt"))
    (tmp_path / "users.txt").write_bytes(content)

    with pytest.raises(DataError, match=f"users_file: .*{advice}"):
        listed_users(config)

    (tmp_path / "users.txt").write_bytes(b"ann\nbob\n")
    assert listed_users(config) == ["ann", "bob"]


CONFIGS = {  # Content of a config, message, corrected content.
    "no mapping": ("- seed: 3\n", "expected a mapping of sections", "seed: 3\n"),
    "not YAML": ("seed: [3\n", "not valid YAML", "seed: 3\n"),
    "a key that is no text": ("seed: 3\n7: x\n", r"expected the name of a key, got 7\. Put it in quotes", "seed: 3\n"),
    "twice": (
        "training:\n  num_epochs: 2\nseed: 3\ntraining:\n  num_streams: 4\n",
        "the key 'training' is given a second time. Put both in one place",
        "training:\n  num_epochs: 2\n  num_streams: 4\nseed: 3\n",
    ),
    "not UTF-8": (b"seed: 3 # \xff\n", "cannot read the config file", "seed: 3\n"),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_is_read_once_it_is_as_the_message_says(tmp_path: Path, kind: str) -> None:
    content, message, good = CONFIGS[kind]
    path = tmp_path / "run.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(ConfigError, match=message) as caught:
        load_run_config(str(path))
    assert "\n" not in str(caught.value)

    path.write_text(good)
    assert load_run_config(str(path)).run.seed == 3


def test_a_config_that_is_not_named_rightly(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config is empty: give a YAML, or leave it out"):
        load_run_config("")
    with pytest.raises(ConfigError, match="no such config file. Give an existing YAML, such as conf/demo.yaml"):
        load_run_config(str(tmp_path / "nowhere.yaml"))

    load_run_config(None)
    load_run_config(str(Path(__file__).parents[2] / "conf" / "demo.yaml"))
