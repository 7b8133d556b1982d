"""TensorFlow as a process uses it: how much it prints and how many threads it takes. Both are set before it starts."""

import os

from seqrec.scoring.library_log import native_errors_in_log

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2"}  # Environment of a process whose TensorFlow prints errors only.


def quieten_tensorflow() -> None:
    """Keeps TensorFlow's notes and warnings off the screen, unless the environment asks for them; errors still show."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def load_tensorflow() -> None:
    """Imports TensorFlow, with what its native code says meanwhile in the log.

    Built for GPUs, it says five times on a machine without one that it finds none, before any level of its log holds.
    """
    quieten_tensorflow()
    with native_errors_in_log():
        import tensorflow as tf

        tf.config.list_physical_devices()


def limit_threads(intra_op: int, inter_op: int) -> bool:
    """Sets the threads of an operation and between operations; False if TensorFlow already runs with others.

    Spark runs one Python worker per core; without this each would start as many threads as there are cores.
    """
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(intra_op)
        tf.config.threading.set_inter_op_parallelism_threads(inter_op)
    except RuntimeError:
        return False
    return True
