"""Whether Horovod is there for the TensorFlow of this environment, and how it comes there when it is wanted.

It is never imported here, nor is TensorFlow.
"""

import contextlib
import importlib.util
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from seqrec.core.errors import ConfigError, TrainingError
from seqrec.core.machine import how_to_install

ONE_WORKER = "set training.num_workers=1, which needs no Horovod"
_LOG = logging.getLogger(__name__)
_BUILD = "seqrec.training.workers.horovod_build"


def tensorflow_version() -> str | None:
    """The version of TensorFlow, under whichever name it is installed; None if it is not."""
    for name in ("tensorflow", "tensorflow-cpu", "tensorflow-intel"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


def is_ready() -> bool:
    """Whether Horovod is installed for the TensorFlow of this environment."""
    importlib.invalidate_caches()
    spec = importlib.util.find_spec("horovod")
    if spec is None or spec.origin is None:
        return False
    folder = Path(spec.origin).parent
    if not any(folder.glob("tensorflow/mpi_lib*.so")):
        return False
    try:
        built_for = json.loads((folder / "metadata.json").read_text()).get("tensorflow")
    except (OSError, ValueError):
        built_for = None
    return not _may_build() or built_for in (None, tensorflow_version())


def check_can_build() -> None:
    """Refuses at once what a build would find after a while.

    Raises:
        ConfigError: this environment is not one that seqrec may change, or programs are missing.
    """
    if not _may_build():
        raise ConfigError(
            "training.num_workers is above 1 and this Python has no Horovod. Install it "
            f"({Path(sys.executable).name} -m {_BUILD}), or {ONE_WORKER}."
        )
    missing = [] if _compiler() else ["g++"]
    missing += [] if shutil.which("make") else ["make"]
    if missing:
        raise ConfigError(
            "training.num_workers is above 1, for which Horovod is compiled, and there is no "
            f"{' and no '.join(missing)} here. Install it ({how_to_install(missing)}), or {ONE_WORKER}."
        )


class BackgroundBuild:
    """A build in a process of its own, which leaves the processor to others; training waits for its end.

    Args:
        is_wanted: whether there is anything to build; without, this does nothing.

    Raises:
        ConfigError: see `check_can_build`.
    """

    def __init__(self, is_wanted: bool) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if is_wanted:
            check_can_build()
            _LOG.info("Horovod is built beside the stages that do not need it; training waits for it.")
            self._process = subprocess.Popen([sys.executable, "-m", _BUILD, "--quiet"], stdin=subprocess.DEVNULL)

    def check(self) -> None:
        """Looks whether the build, if there is one, has not failed yet.

        Raises:
            TrainingError: it has, and its reason is on the screen already.
        """
        if self._process is not None and self._process.poll() not in (None, 0):
            raise TrainingError(f"Horovod could not be built; the reason is above. Fix it, or {ONE_WORKER}.")

    def end(self) -> None:
        """Ends a build that nobody waits for any more."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")


def _may_build() -> bool:
    """Whether this environment is a virtual one that seqrec or its user made for it, and not a cluster's image."""
    is_own = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    return is_own and os.environ.get("SEQREC_ENV") != "current" and "DATABRICKS_RUNTIME_VERSION" not in os.environ
