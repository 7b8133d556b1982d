from pathlib import Path

import pytest

from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from tests.feed.prepared_data import write_prepared


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Storage, Manifest]:
    return write_prepared(tmp_path_factory.mktemp("feed"), num_users=200)


@pytest.fixture
def empty_storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))
