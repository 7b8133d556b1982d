"""The devices and threads of a worker."""

import os
import warnings

import tensorflow as tf

from seqrec.scoring.tensorflow_process import limit_threads
from seqrec.training.workers.exchange import Workers


def set_up_devices(num_threads: int | None, workers: Workers) -> None:
    """Gives each worker of a machine one GPU, if there are GPUs, and sets the threads; a single inter-op thread.

    With more inter-op threads the order of additions, and so the last bits, would differ from run to run.

    Args:
        num_threads: intra-op threads; None shares the machine's cores among its workers.
    """
    threads = num_threads or max(1, (os.cpu_count() or 1) // workers.local_size)
    if _use_own_gpu(workers) and limit_threads(threads, 1):
        return
    # TensorFlow already runs in this process (another stage came before): its threads cannot change any more.
    inter_op = tf.config.threading.get_inter_op_parallelism_threads() or os.environ.get("TF_NUM_INTEROP_THREADS")
    if str(inter_op) != "1":
        warnings.warn(
            "TensorFlow was started before training with several inter-op threads: the result may differ in the "
            "last bits from run to run.",
            stacklevel=2,
        )


def _use_own_gpu(workers: Workers) -> bool:
    """Makes one GPU visible to this worker; False if TensorFlow already runs with others."""
    gpus = tf.config.list_physical_devices("GPU")
    try:
        if gpus:
            tf.config.set_visible_devices(gpus[workers.local_rank % len(gpus)], "GPU")
    except RuntimeError:
        return False
    return True


def is_compiled(jit: str | bool) -> bool:
    """Whether the training step is compiled by XLA; auto: where this worker has a GPU."""
    return jit == "on" or (jit == "auto" and bool(tf.config.get_visible_devices("GPU")))
