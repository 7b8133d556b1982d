"""Preparation and training on a small standalone cluster, to which this environment is shipped.

Slow: the archive is packed and unpacked. Every stage, on separated workers: `benchmarks/cluster_check.py`.
"""

from pathlib import Path

import pytest

from benchmarks.local_cluster import LocalCluster
from seqrec.core.storage import Storage
from tests.pipeline.every_stage import assert_same, contents, run_stages

pytestmark = pytest.mark.slow


def test_a_cluster_makes_what_local_mode_makes(tmp_path: Path) -> None:
    pytest.importorskip("venv_pack", reason="needs venv-pack")
    run_stages(str(tmp_path / "local"), jobs=("pipeline",))

    with LocalCluster(tmp_path / "cluster", port=17077) as cluster:
        workdir = cluster.shared / "work"
        run_stages(str(workdir), ("pipeline",), tuple(cluster.options), {"SEQREC_SHIP": "always"})
        # The Python that Spark unpacked beside an executor of each worker.
        unpacked = {path.parents[5].name for path in cluster.folder.glob("node-*/work/*/*/environment/bin/python")}

    assert unpacked == {"node-1", "node-2"}
    assert_same(contents(Storage(str(workdir)), tmp_path), contents(Storage(str(tmp_path / "local")), tmp_path))
