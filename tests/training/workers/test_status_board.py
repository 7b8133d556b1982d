import pytest

from seqrec.training.reporting.status import DONE, FAILED, FOLLOWED, STOPPED, WorkerStatus
from seqrec.training.workers.status_board import StatusBoard
from seqrec.training.workers.watcher import _signalled_workers


def status(rank: int, **changes: object) -> WorkerStatus:
    values = {"host": f"host{rank}", "pid": 100 + rank, "phase": "training", "step": 12, "steps": 40, **changes}
    return WorkerStatus(rank=rank, **values)  # type: ignore[arg-type]


def board_of(*statuses: WorkerStatus | None) -> StatusBoard:
    board = StatusBoard(len(statuses))
    board.see(statuses)
    return board


def test_a_stop_that_nobody_asked_the_driver_for_names_who_was_told_to_end() -> None:
    told = status(1, state=STOPPED, was_signalled=True)

    assert ": worker 1 on host1 (process 101) received SIGTERM" in _signalled_workers([status(0), told])
    assert _signalled_workers([status(0), status(1)]) == ""


def test_explain_shows_the_traceback_of_the_worker_that_failed() -> None:
    board = board_of(
        status(0, state=FOLLOWED, error="Connection closed"),
        status(1, state=FAILED, error_class="KeyError", error="'x'", traceback="Traceback: line 7"),
    )

    text = board.explain("died")

    assert text.startswith("Worker 1 on host1 failed in training of epoch 1, step 12 of 40: 'x'")
    assert "40: 'x'. Worker 0 only followed." in text
    assert "Traceback: line 7" in text


def test_explain_names_a_worker_that_fell_silent() -> None:
    board = board_of(status(0, state=FOLLOWED), status(1, epoch=2), status(2, state=FOLLOWED))
    board.beat_at[1] -= 33

    text = board.explain("was killed.")

    assert text.startswith(
        "Worker 1 on host1 (process 101) was killed. Last seen in training of epoch 3, step 12 of 40"
    )
    assert "last heartbeat 33 s ago. Workers 0, 2 only followed." in text


def test_explain_names_the_worker_that_does_not_wait_for_others() -> None:
    board = board_of(status(0, in_step=True, num_ticks=5), status(1, num_ticks=9))

    assert board.explain("hangs.").startswith("Worker 1 on host1")


def test_explain_names_the_worker_furthest_behind_when_all_hang() -> None:
    board = board_of(status(0, step=20), status(1, step=19))

    assert board.explain("hangs.").startswith("Worker 1 on host1")


def test_explain_shows_an_exchange_that_failed_on_all() -> None:
    board = board_of(*(status(rank, state=FOLLOWED, traceback="Mismatched shapes") for rank in (0, 1)))

    assert board.explain("died") == "All workers ended at an exchange.\n\nMismatched shapes"


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
    board = board_of(status(0, phase=phase), status(1, phase=phase))
    board.tick_at = [at - ago for at, ago in zip(board.tick_at, ticks_ago, strict=True)]
    board.beat_at[1] -= beat_ago

    assert board.is_hung(60) is hung


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
    board = board_of(first, other)
    board.tick_at[0] -= 601.0

    assert board.is_hung(60) is hung


def test_is_hung_waits_for_the_last_one_while_it_advances() -> None:
    board = board_of(status(0), status(1, state=DONE))
    board.tick_at[1] -= 1000.0
    board.beat_at[1] -= 1000.0

    assert not board.is_hung(60)


def test_explain_does_not_say_of_a_worker_that_is_done_that_it_followed() -> None:
    board = board_of(status(0), status(1, state=DONE), status(2, state=FOLLOWED))

    text = board.explain("hangs.")

    assert text.startswith("Worker 0 on host0")
    assert text.endswith(" Worker 2 only followed.")


def test_explain_blames_one_that_fell_silent_long_before_another_failed() -> None:
    board = board_of(status(0), status(1))
    board.beat_at[1] -= 31

    board.see([status(0, state=FAILED, beats=9, error_class="UnknownError", error="timed out"), status(1)])

    assert "Worker 1 on host1 (process 101) was killed" in board.explain("was killed.")
    assert "last heartbeat 31 s ago. Worker 0 only followed." in board.explain("was killed.")


def test_seconds_since_failure_count_from_the_first_that_ended_badly() -> None:
    board = board_of(status(0), status(1))
    assert board.seconds_since_failure() == 0.0

    board.see([status(0, state=FOLLOWED), status(1)])
    first = board.seconds_since_failure()
    board.see([status(0, state=FOLLOWED), status(1, state=FAILED)])

    assert 0.0 < first < board.seconds_since_failure()
