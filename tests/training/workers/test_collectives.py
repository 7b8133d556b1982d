"""Real collectives of TensorFlow: two processes that check many things, then whole runs beside Horovod's."""

from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.errors import TrainingError
from seqrec.core.manifest import Manifest
from seqrec.core.storage import Storage
from seqrec.training.job import TrainingJob, TrainingState
from seqrec.training.workers.launchers import Callbacks
from seqrec.training.workers.processes import launch_processes
from tests.training.small_runs import SEED, newest_checkpoint, small_model, small_training
from tests.training.workers.test_exchange import BLIND, Train


def gather_facts(job: TrainingJob) -> TrainingState:
    """Runs in every worker; what worker 0 returns is judged by the tests."""
    from seqrec.training.workers.collectives import TensorFlowWorkers

    workers = TensorFlowWorkers()
    workers.connect()
    rank = float(workers.rank)
    facts: dict[str, Any] = {"size": workers.size, "local": [workers.local_rank, workers.local_size]}

    @tf.function(autograph=False, reduce_retracing=True)
    def exchange(rows: tf.Tensor) -> Any:
        dense = tf.fill([3, 2], rank + 1.0001)
        # Worker 0 has rows 1 and 4, worker 1 rows 4 and 7 and more; tables of different widths.
        wide = tf.IndexedSlices(tf.fill([tf.size(rows), 3], rank + 1.0), rows, tf.constant([99, 3]))
        narrow = tf.IndexedSlices(tf.fill([1, 1], rank - 5.0), tf.constant([2], tf.int32), tf.constant([4, 1]))
        extremes = tf.constant([1e-9, -1e-6, 1e-3, -1e5]) * (rank + 1.0)
        return workers.exchange([dense, None, wide, narrow, extremes], tf.constant([rank, 10.0]))

    facts["rows"] = []
    for more in range(4):  # The number of rows changes from step to step, and differs between workers.
        rows = [1, 4] if workers.rank == 0 else [4, 7, *range(10, 10 + 7 * more)]
        gradients, statistics, bytes_sent = exchange(tf.constant(rows, tf.int64))
        facts["rows"].append(sorted(gradients[2].indices.numpy().tolist()))
        if not more:
            facts |= {"dense": gradients[0].numpy().tolist(), "none": gradients[1], "bytes": int(bytes_sent)}
            facts["wide"] = tf.convert_to_tensor(gradients[2]).numpy()[:9, 0].tolist()
            facts["narrow"] = tf.convert_to_tensor(gradients[3]).numpy().tolist()
            facts["types"] = [gradients[2].indices.dtype.name, gradients[3].indices.dtype.name]
            facts["statistics"] = statistics.numpy().tolist()
    workers._compress = True
    gradients, statistics, bytes_sent = tf.function(exchange.python_function, autograph=False)(
        tf.constant([[1, 4], [4, 7]][workers.rank], tf.int64)
    )
    facts["compressed"] = [float(gradients[0][0, 0]), *gradients[4].numpy().tolist()]
    facts["compressed_bytes"] = int(bytes_sent)
    facts["compressed_statistics"] = statistics.numpy().tolist()
    facts["mean"] = float(tf.function(lambda: workers.mean(tf.constant(rank * 3)), autograph=False)())
    facts["gathered"] = workers.gather_rows(np.full([workers.rank + 1, 2], rank)).tolist()
    facts["letters"] = workers.gather_rows(np.frombuffer([b"a", b"bcdefg"][workers.rank], np.uint8)).tolist()
    facts["largest"] = workers.largest(rank * 7)
    facts["told"] = workers.broadcast({"state": [1, None, "x"]} if workers.rank == 0 else None)
    variable, number = tf.Variable([-0.0 if rank == 0 else 1.0, 1.0]), tf.Variable(5 + workers.rank, dtype=tf.int64)
    workers.check_equal({"same": tf.Variable([2.5]), "steps": tf.Variable(3, dtype=tf.int64)})
    try:
        workers.check_equal({"same": tf.Variable([2.5]), "other": variable})
    except TrainingError as error:
        facts["drifted"] = str(error)
    table = tf.Variable(tf.fill([200_000, 32], rank + 2.0))
    workers.broadcast_variables([variable, number, table])
    workers.check_equal({"other": variable, "number": number, "table": table})
    facts["signs"] = workers.gather_rows(np.signbit(variable.numpy())[None].astype(np.int32)).tolist()
    facts["numbers"] = workers.gather_rows(number.numpy()[None]).tolist()
    facts["corner"] = workers.gather_rows(table.numpy()[-1:, -1]).tolist()
    return TrainingState(history=[facts])


def job_of(prepared: tuple[Storage, Manifest], control: str) -> TrainingJob:
    return TrainingJob(
        workdir=prepared[0].root,
        prepared="",
        attempt_path="",
        resume_path=None,
        control=control,
        model=small_model(),
        training=small_training(),
        seed=SEED,
    )


@pytest.fixture(scope="module")
def facts(prepared: tuple[Storage, Manifest], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    callbacks = Callbacks(lambda: None, lambda: None, Event())
    job = job_of(prepared, str(tmp_path_factory.mktemp("control")))
    return launch_processes(gather_facts, job, 2, callbacks).history[0]


def test_exchange_averages_dense_gradients_and_statistics(facts: dict[str, Any]) -> None:
    assert (facts["size"], facts["local"]) == (2, [0, 2])
    assert np.allclose(facts["dense"], 1.5001, atol=1e-6)
    assert facts["statistics"] == facts["compressed_statistics"] == [0.5, 10.0]
    assert facts["none"] is None


def test_exchange_averages_sparse_gradients_with_every_row_once(facts: dict[str, Any]) -> None:
    assert facts["rows"] == [[1, 4, 7, *range(10, 10 + 7 * more)] for more in range(4)]
    assert facts["wide"] == [0, 0.5, 0, 0, 1.5, 0, 0, 1.0, 0]
    assert facts["narrow"] == [[0], [0], [-4.5], [0]]
    assert facts["types"] == ["int64", "int32"]


def test_exchange_compresses_dense_gradients_only(facts: dict[str, Any]) -> None:
    sparse = 3 * (2 + 3) * 4
    dense, tiny, *others = facts["compressed"]

    assert (facts["bytes"], facts["compressed_bytes"]) == (10 * 4 + 2 * 4 + sparse, 10 * 2 + 2 * 4 + sparse)
    assert dense == pytest.approx(1.5001, abs=2e-3)
    assert dense != facts["dense"][0][0]
    assert tiny == pytest.approx(1.5e-9, rel=0.05)
    assert others == pytest.approx([-1.5e-6, 1.5e-3, -8.0], rel=2e-3)


def test_workers_tell_each_other(facts: dict[str, Any]) -> None:
    assert facts["gathered"] == [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]
    assert bytes(facts["letters"]) == b"abcdefg"
    assert facts["largest"] == 7.0
    assert facts["mean"] == 1.5
    assert facts["told"] == {"state": [1, None, "x"]}


def test_variables_are_handed_on_to_the_bit(facts: dict[str, Any]) -> None:
    assert facts["signs"] == [[1, 0], [1, 0]]
    assert facts["numbers"] == [5, 5]
    assert facts["corner"] == [2.0, 2.0]
    assert "1 variables of worker 1, 'other' among them, differ from worker 0's" in facts["drifted"]


@pytest.mark.parametrize("model", ["a2svd", "sasrec"])
def test_two_workers_have_the_variables_of_one(train: Train, prepared: tuple[Storage, Manifest], model: str) -> None:
    settings = {"model": small_model(name=model), "num_epochs": 1}

    alone = train(run=f"one-{model}", **settings)
    together = train(run=f"two-{model}", num_workers=2, exchange="tensorflow", **settings)

    one, two = newest_checkpoint(prepared[0], alone), newest_checkpoint(prepared[0], together)
    for name in set(one) - BLIND:
        np.testing.assert_allclose(two[name], one[name], rtol=2e-4, atol=5e-6, err_msg=name)


def test_two_workers_have_the_variables_of_horovod(
    train: Train, prepared: tuple[Storage, Manifest], spark: Any
) -> None:
    pytest.importorskip("horovod.tensorflow", reason="needs Horovod", exc_type=ImportError)

    runs = [train(run=f"by-{way}", num_workers=2, exchange=way, num_epochs=2) for way in ("horovod", "tensorflow")]

    one, two = (newest_checkpoint(prepared[0], run) for run in runs)
    for name in set(one) - BLIND:
        np.testing.assert_allclose(two[name], one[name], rtol=2e-4, atol=5e-6, err_msg=name)


def raise_in_worker_one(job: TrainingJob) -> TrainingState:
    import json
    import os

    from seqrec.training import assemble
    from seqrec.training.worker import run_worker

    if json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 1:
        real = assemble._with_step_status

        def failing(*args: Any) -> Any:
            step = real(*args)

            def fails(batch: Any, global_step: int, stop: bool, rate_share: float) -> Any:
                if global_step == 5:
                    raise KeyError("a fault of the program")
                return step(batch, global_step, stop, rate_share)

            return fails

        assemble._with_step_status = failing
    return run_worker(job)


def test_a_worker_that_raises_is_named_and_ends_the_others(
    train: Train, prepared: tuple[Storage, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqrec.training import stage

    monkeypatch.setattr(stage, "run_worker", raise_in_worker_one)

    with pytest.raises(TrainingError, match=r"Worker 1 on .* failed in training of epoch 1, step 5 .*Worker 0 only"):
        train(run="raising", num_workers=2, exchange="tensorflow", num_epochs=1)


def test_a_job_survives_its_way_through_json(prepared: tuple[Storage, Manifest], tmp_path: Any) -> None:
    import json

    from seqrec.core.config import load_section, plain

    job = replace(job_of(prepared, "x"), num_runs=(3, 4), resume_path="runs/a")

    assert load_section(TrainingJob, json.loads(json.dumps(plain(job))), "job") == job
