"""Lists do not hang on the files that histories and candidates lie in, nor on an attempt at other files."""

from datetime import datetime, timezone
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from seqrec.core.storage import Storage
from seqrec.recommendation.candidates import run_candidates
from seqrec.recommendation.config import CandidatesConfig, RecommendationConfig
from seqrec.recommendation.recommend import run_recommend
from seqrec.recommendation.top_k import HISTORY
from tests.recommendation.world import events_of, items_of, lists_of, users, write_run, write_world


def test_run_recommend_places_own_items_by_their_user_alone(spark: SparkSession, tmp_path: Path):
    storage = Storage(str(tmp_path))
    write_run(storage, write_world(storage), "a2svd", "a2svd")
    # Lists of unlike lengths: popularity would fill them all up.
    run_candidates(spark, storage, "small", CandidatesConfig(sources=("co_visitation",), num_neighbours=3), seed=1)
    newest = max(events_of(number)[1][-1] for number in range(len(users())))
    now = datetime.fromtimestamp(newest, tz=timezone.utc).isoformat()

    def found(**settings) -> dict[str, list[dict]]:
        config = RecommendationConfig(k=40, exclude_own_items=False, **settings)
        return lists_of(storage, run_recommend(spark, storage, "small", "a2svd", config, seed=1, force=True))

    everyone = found()
    assert any(row["source"] == HISTORY for rows in everyone.values() for row in rows)
    assert len({len(rows) for rows in everyone.values()}) > 2
    # Candidates as of the newest event are found anew, not read.
    some = tuple(users()[::4])
    for others in (found(batch_size=7), found(users=some), found(users=some, batch_size=7), found(as_of=now)):
        for user, rows in others.items():
            assert [row["score"] for row in rows] == pytest.approx([row["score"] for row in everyone[user]], abs=1e-4)
            assert items_of(rows) == items_of(everyone[user])
