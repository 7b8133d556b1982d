from pathlib import Path

import pytest

from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from tests.feed import chosen_reader
from tests.feed.prepared_data import write_prepared


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Storage, Manifest]:
    return write_prepared(tmp_path_factory.mktemp("feed"), num_users=200)


@pytest.fixture
def empty_storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))


@pytest.fixture(params=["petastorm", "pyarrow"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with each library that reads sequence files."""
    if request.param == "petastorm":
        pytest.importorskip("petastorm", reason="Petastorm does not run on this stack", exc_type=ImportError)
    monkeypatch.setattr(chosen_reader, "NAME", request.param)
    return str(request.param)
