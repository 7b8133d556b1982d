import time

from seqrec.core.storage import Storage
from seqrec.training.reporting.status import (
    DONE,
    FAILED,
    STOP,
    StatusWriter,
    WorkerStatus,
    is_followed,
    read_statuses,
    write_word,
)


def test_status_writer_writes_what_the_worker_does_and_how_it_ended(storage: Storage) -> None:
    writer = StatusWriter(storage, WorkerStatus(rank=1, host="host1", pid=101))
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
    writer = StatusWriter(storage, WorkerStatus(rank=0, host="host0", pid=100))

    write_word(storage, STOP)

    assert writer.stop_requested.wait(30)
    writer.end(DONE)


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
