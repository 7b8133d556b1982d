import time

import pytest

from seqrec.core.storage import Storage
from seqrec.training.workers.status import (
    DONE,
    FAILED,
    FOLLOWED,
    STOP,
    STOPPED,
    Observer,
    StatusWriter,
    WorkerStatus,
    is_followed,
    read_statuses,
    say,
)
from seqrec.training.workers.watcher import _who_was_signalled


def status(rank: int, **changes: object) -> WorkerStatus:
    values = {"host": f"host{rank}", "pid": 100 + rank, "phase": "training", "step": 12, "steps": 40, **changes}
    return WorkerStatus(rank=rank, **values)  # type: ignore[arg-type]


def observer_of(*statuses: WorkerStatus | None) -> Observer:
    observer = Observer(len(statuses))
    observer.see(statuses)
    return observer


def test_status_writer_writes_what_the_worker_does_and_how_it_ended(storage: Storage) -> None:
    writer = StatusWriter(storage, status(1))
    writer.status.step = 13
    while (running := read_statuses(storage, 2))[1] is None or running[1].step != 13:
        time.sleep(0.1)

    writer.end(FAILED, ValueError("bad\nworse"))
    ended = read_statuses(storage, 2)

    assert running[0] is None
    assert running[1] is not None
    assert (running[1].step, running[1].state) == (13, "running")
    assert ended[1] is not None
    assert (ended[1].state, ended[1].error_class, ended[1].error) == (FAILED, "ValueError", "bad")
    assert "ValueError: bad" in ended[1].traceback


def test_status_writer_hears_the_word_of_the_driver(storage: Storage) -> None:
    writer = StatusWriter(storage, status(0))

    say(storage, STOP)

    assert writer.stop_requested.wait(30)
    writer.end(DONE)


def test_a_stop_that_nobody_asked_the_driver_for_names_who_was_told_to_end() -> None:
    told = status(1, state=STOPPED, was_signalled=True)

    assert ": worker 1 on host1 (process 101) was told to end (SIGTERM)" in _who_was_signalled([status(0), told])
    assert _who_was_signalled([status(0), status(1)]) == ""


def test_explain_shows_the_traceback_of_the_worker_that_failed() -> None:
    observer = observer_of(
        status(0, state=FOLLOWED, error="Connection closed"),
        status(1, state=FAILED, error_class="KeyError", error="'x'", traceback="Traceback: line 7"),
    )

    text = observer.explain("died")

    assert text.startswith("Worker 1 on host1 failed in training of epoch 1, step 12 of 40: 'x'")
    assert "40: 'x'. Worker 0 only followed." in text
    assert "Traceback: line 7" in text


def test_explain_names_a_worker_that_fell_silent() -> None:
    observer = observer_of(status(0, state=FOLLOWED), status(1, epoch=2), status(2, state=FOLLOWED))
    observer.beat_at[1] -= 33

    text = observer.explain("was killed.")

    assert text.startswith(
        "Worker 1 on host1 (process 101) was killed. Last seen in training of epoch 3, step 12 of 40"
    )
    assert "last heartbeat 33 s ago. Workers 0, 2 only followed." in text


def test_explain_names_the_worker_that_does_not_wait_for_others() -> None:
    observer = observer_of(status(0, in_step=True, num_ticks=5), status(1, num_ticks=9))

    assert observer.explain("hangs.").startswith("Worker 1 on host1")


def test_explain_names_the_worker_furthest_behind_when_all_hang() -> None:
    observer = observer_of(status(0, step=20), status(1, step=19))

    assert observer.explain("hangs.").startswith("Worker 1 on host1")


def test_explain_shows_an_exchange_that_failed_on_all() -> None:
    observer = observer_of(*(status(rank, state=FOLLOWED, traceback="Mismatched shapes") for rank in (0, 1)))

    assert observer.explain("died") == "All workers ended at an exchange.\n\nMismatched shapes"


@pytest.mark.parametrize(
    ("phase", "ticks_ago", "beat_ago", "hung"),
    [
        pytest.param("training", (70.0, 70.0), 0.0, True, id="none advances"),
        pytest.param("training", (70.0, 1.0), 0.0, False, id="one waits for the other"),
        pytest.param("training", (1.0, 1.0), 70.0, True, id="one is silent"),
        pytest.param("checkpoint", (70.0, 70.0), 0.0, False, id="saving takes long"),
        pytest.param("first step", (1.0, 1.0), 70.0, False, id="tracing holds the heartbeat up"),
        pytest.param("first step", (1.0, 1.0), 190.0, True, id="silent for too long"),
        pytest.param("first step", (70.0, 70.0), 0.0, False, id="tracing takes long"),
    ],
)
def test_is_hung(phase: str, ticks_ago: tuple[float, float], beat_ago: float, hung: bool) -> None:
    observer = observer_of(status(0, phase=phase), status(1, phase=phase))
    observer.tick_at = [at - ago for at, ago in zip(observer.tick_at, ticks_ago, strict=True)]
    observer.beat_at[1] -= beat_ago

    assert observer.is_hung(60) is hung


@pytest.mark.parametrize(
    ("first", "other", "hung"),
    [
        pytest.param(status(0), None, False, id="one has not started"),
        pytest.param(status(0, state=DONE), status(1, state=DONE), False, id="all are done"),
        pytest.param(status(0, state=STOPPED), status(1, state=FAILED), False, id="all have ended"),
        pytest.param(status(0), status(1, state=DONE), True, id="the last one hangs"),
        pytest.param(status(0, phase="checkpoint"), status(1, state=DONE), True, id="in its last checkpoint"),
    ],
)
def test_is_hung_judges_the_workers_that_still_run(first: WorkerStatus, other: WorkerStatus | None, hung: bool) -> None:
    observer = observer_of(first, other)
    observer.tick_at[0] -= 601.0

    assert observer.is_hung(60) is hung


def test_is_hung_waits_for_the_last_one_while_it_advances() -> None:
    observer = observer_of(status(0), status(1, state=DONE))
    observer.tick_at[1] -= 1000.0
    observer.beat_at[1] -= 1000.0

    assert not observer.is_hung(60)


def test_explain_does_not_say_of_a_worker_that_is_done_that_it_followed() -> None:
    observer = observer_of(status(0), status(1, state=DONE), status(2, state=FOLLOWED))

    text = observer.explain("hangs.")

    assert text.startswith("Worker 0 on host0")
    assert text.endswith(" Worker 2 only followed.")


def test_explain_blames_one_that_fell_silent_long_before_another_failed() -> None:
    observer = observer_of(status(0), status(1))
    observer.beat_at[1] -= 31

    observer.see([status(0, state=FAILED, beats=9, error_class="UnknownError", error="timed out"), status(1)])

    assert "Worker 1 on host1 (process 101) was killed" in observer.explain("was killed.")
    assert "last heartbeat 31 s ago. Worker 0 only followed." in observer.explain("was killed.")


def test_seconds_since_failure_count_from_the_first_that_ended_badly() -> None:
    observer = observer_of(status(0), status(1))
    assert observer.seconds_since_failure() == 0.0

    observer.see([status(0, state=FOLLOWED), status(1)])
    first = observer.seconds_since_failure()
    observer.see([status(0, state=FOLLOWED), status(1, state=FAILED)])

    assert 0.0 < first < observer.seconds_since_failure()


def test_is_followed_knows_horovods_errors() -> None:
    class HorovodInternalError(RuntimeError):
        pass

    assert is_followed(HorovodInternalError("x"))
    assert is_followed(RuntimeError("[Rank 0] Connection closed by peer [127.0.0.1]"))
    assert is_followed(RuntimeError("Graph execution error:\nDetected at node HorovodGroupedAllreduce"))
    gloo = "[/tmp/x/third_party/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 30000ms for recv operation"
    assert is_followed(RuntimeError(f"Graph execution error:\n{gloo}"))
    assert not is_followed(KeyError("x"))
    assert not is_followed(RuntimeError('File "/venv/horovod/runner/run_task.py", line 37: no such row'))
