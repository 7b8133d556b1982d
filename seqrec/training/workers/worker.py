"""One worker of a run: builds everything from a plain description, trains, and says how it ended."""

import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from seqrec.core.errors import SeqrecError, TrainingError
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.models.config import ModelConfig
from seqrec.training.config import TrainingConfig
from seqrec.training.workers.status import DONE, FAILED, FOLLOWED, STOPPED, StatusWriter, WorkerStatus, is_followed


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """All that a worker needs to know, and nothing that cannot be sent to another machine."""

    workdir: str
    prepared: str  # The manifest of the prepared data, as JSON.
    attempt_path: str  # Where the run is written, relative to the workdir.
    resume_path: str | None  # Another attempt to go on from, if this one has no checkpoint yet.
    control: str  # Root of the workers' status files; see `worker_status`.
    model: ModelConfig
    training: TrainingConfig
    seed: int


def run_worker(job: TrainingJob, after_epoch: Callable[[Any], None] | None = None) -> dict[str, Any]:
    """Trains as one of `job.training.num_workers` workers; started by a launcher, or called for a single one.

    Args:
        after_epoch: see `train_run`.
    Returns: the final state, as a dict.
    """
    import warnings

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # Before TensorFlow is imported.
    from seqrec.training.workers.exchange import HorovodWorkers, Workers

    several = job.training.num_workers > 1
    workers = HorovodWorkers(job.training.gradient_compression == "fp16") if several else Workers()
    status = WorkerStatus(rank=workers.rank, host=workers.host, pid=os.getpid())
    writer = StatusWriter(Storage(job.control), status)
    workers.tick = writer.tick
    try:
        # Imported outside: the filters that the feed sets must last for the next training in this process.
        from seqrec.training.assemble import train_run

        with _stopping_at_sigterm(writer), warnings.catch_warnings():
            if workers.rank > 0:  # One worker tells it.
                warnings.simplefilter("ignore")
            state = train_run(job, workers, writer, after_epoch)
    except BaseException as error:
        writer.end(FOLLOWED if is_followed(error) else FAILED, error)
        raise
    stopped = state.epoch < job.training.num_epochs and not state.stopped_early
    writer.end(STOPPED if stopped else DONE)
    return asdict(state)


class _stopping_at_sigterm:  # noqa: N801 - reads as the statement it stands in.
    """While inside, SIGTERM asks to stop after the step at hand instead of ending the process."""

    def __init__(self, writer: StatusWriter):
        self._writer = writer
        self._before: Any = None

    def __enter__(self) -> None:
        try:
            self._before = signal.signal(signal.SIGTERM, lambda *_: self._writer.stop_at_signal())
        except ValueError:  # Not the main thread: signals are somebody else's business.
            self._before = None

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)


def prepared_manifest(job: TrainingJob) -> Manifest:
    return Manifest.from_json(job.prepared, "the prepared data's manifest")


def user_error(name: str, message: str) -> SeqrecError:
    """The error of a worker again, on the driver."""
    from seqrec.core import errors

    kind = getattr(errors, name, errors.TrainingError)
    return kind(message)


def stop_error(epoch: int, step: int, why: str = "") -> TrainingError:
    """The error of training that has saved and ended before its last epoch; `why` follows the place."""
    return TrainingError(
        f"Stopped after step {step} of epoch {epoch + 1}{why}; saved there. Run the job again to go on."
    )
