from pathlib import Path

import pytest

from seqrec.core.storage import Storage
from tests.evaluation.worlds import write_prepared, write_run


# Not of the package's scope: a worker of xdist goes back and forth between packages, and would make it again each time.
@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """`prepared/small`, a run of three models, and `other` (A2SVD of another seed); tests do not change it."""
    root: Path = tmp_path_factory.mktemp("world")
    storage = Storage(str(root))
    prepared = write_prepared(storage, "small")
    write_run(storage, prepared, "a2svd")
    write_run(storage, prepared, "sli_rec", model="sli_rec")
    write_run(storage, prepared, "sasrec", model="sasrec")
    write_run(storage, prepared, "other", seed=4)
    return storage
