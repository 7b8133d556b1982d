"""One worker of a run: connects to the others, trains, and reports how it ended."""

import os
import signal
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from seqrec.core.storage import Storage
from seqrec.scoring.tensorflow_process import load_tensorflow
from seqrec.training.job import TrainingJob, TrainingState
from seqrec.training.reporting.status import DONE, FAILED, FOLLOWED, STOPPED, StatusWriter, WorkerStatus, is_followed

if TYPE_CHECKING:
    from seqrec.training.workers.exchange import Workers


def run_worker(job: TrainingJob, after_epoch: Callable[[TrainingState], None] | None = None) -> TrainingState:
    """Trains as one of `job.training.num_workers` workers; called by a launcher, or directly for a single worker.

    Args:
        after_epoch: called with the state after each epoch; see `train_run`.
    Returns: the state in which training ended, the same on every worker.
    """
    load_tensorflow()
    from seqrec.training.workers.exchange import Workers

    workers = _one_of_several(job) if job.training.num_workers > 1 else Workers()
    status = WorkerStatus(rank=workers.rank, host=workers.host, pid=os.getpid())
    writer = StatusWriter(Storage(job.control), status)
    workers.tick = writer.tick
    try:
        # Imported outside `catch_warnings`: the filters that the feed sets must last for the next training here.
        from seqrec.training.assemble import train_run

        with StopAtSigterm(writer), warnings.catch_warnings():
            if workers.rank > 0:  # Worker 0 shows the warnings of all.
                warnings.simplefilter("ignore")
            state = train_run(job, workers, writer, after_epoch)
    except BaseException as error:
        writer.end(FOLLOWED if is_followed(error) else FAILED, error)
        raise
    writer.end(DONE if state.is_complete(job.training.num_epochs) else STOPPED)
    return state


def _one_of_several(job: TrainingJob) -> "Workers":
    compress = job.training.gradient_compression == "fp16"
    if job.training.exchange == "tensorflow":
        from seqrec.training.workers.collectives import TensorFlowWorkers

        return TensorFlowWorkers(compress)
    from seqrec.training.workers.exchange import HorovodWorkers

    return HorovodWorkers(compress)


class StopAtSigterm:
    """Context in which SIGTERM asks for a stop after the current step instead of ending the process."""

    def __init__(self, writer: StatusWriter):
        self._writer = writer
        self._before: Any = None

    def __enter__(self) -> None:
        try:
            self._before = signal.signal(signal.SIGTERM, lambda *_: self._writer.stop_at_signal())
        except ValueError:  # Only the main thread may set handlers; elsewhere signals are somebody else's business.
            self._before = None

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
