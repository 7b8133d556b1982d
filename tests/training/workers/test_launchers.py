"""What the launchers do when the driver is asked to stop, and when a worker is gone before it could say anything."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from seqrec.core.errors import ConfigError
from seqrec.training.workers.launchers import Callbacks, _signals_ask_to_stop, launch_on_spark


def _return_nothing(_: Any) -> None:
    pass


def test_more_workers_than_slots_are_refused(spark: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"num_workers=4 but Spark runs with 2 slots: submit with --master local\[4\]"
    ):
        launch_on_spark(_return_nothing, None, 4, 60, spark)


def test_the_first_signal_asks_to_stop_and_the_second_one_ends() -> None:
    from horovod.runner import gloo_run

    asked: list[int] = []
    end_now = threading.Event()
    callbacks = Callbacks(lambda: asked.append(1), lambda: None, end_now)
    theirs = gloo_run.register_shutdown_event
    before = signal.getsignal(signal.SIGTERM)

    with _signals_ask_to_stop(callbacks):
        end_at_once = gloo_run.register_shutdown_event()  # As Horovod does when it launches.
        os.kill(os.getpid(), signal.SIGTERM)
        after_first = (len(asked), end_at_once.is_set())
        os.kill(os.getpid(), signal.SIGTERM)

    assert after_first == (1, False)
    assert end_at_once.is_set()
    assert signal.getsignal(signal.SIGTERM) == before
    assert gloo_run.register_shutdown_event is theirs


def _die_or_wait(folder: str) -> None:
    """Runs in every worker, before Horovod has connected them: the second one dies, the other waits for it."""
    if os.environ["HOROVOD_RANK"] == "1":
        os._exit(7)
    time.sleep(60)
    Path(folder, "waited to the end").touch()


# Spark's own trace, of sixty lines, is not shown beside the error.
@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_on_spark_a_worker_that_dies_at_once_ends_the_others(spark: Any, tmp_path: Path) -> None:
    end_now = threading.Event()
    callbacks = Callbacks(lambda: None, note_failure=end_now.set, end_now=end_now)

    with pytest.raises(RuntimeError, match=r"Process name: 1\s+Exit code: 7"):
        launch_on_spark(_die_or_wait, str(tmp_path), 2, 60, spark, callbacks)

    assert end_now.is_set()
    assert not list(tmp_path.iterdir())
