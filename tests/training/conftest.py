from collections.abc import Callable
from pathlib import Path

import pytest

from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig
from seqrec.training.stage import run_train
from tests.feed.prepared_data import write_prepared
from tests.training.small_runs import SEED, small_model, small_training


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Storage, Manifest]:
    return write_prepared(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="session")
def finished(prepared: tuple[Storage, Manifest]) -> Manifest:
    """A run of four epochs on one worker, without a break."""
    return run_train(prepared[0], "toy", "finished", small_model(), small_training(num_epochs=4), SEED, False)


@pytest.fixture
def train(prepared: tuple[Storage, Manifest], request: pytest.FixtureRequest) -> Callable[..., Manifest]:
    """Trains a run called after the test, on the toy data."""

    def run(model: ModelConfig | None = None, run: str = "", force: bool = False, **changes: object) -> Manifest:
        name = run or "".join(c if c.isalnum() else "-" for c in request.node.name)
        training: TrainingConfig = small_training(**changes)
        return run_train(prepared[0], "toy", name, model or small_model(), training, SEED, force)

    return run


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path))
