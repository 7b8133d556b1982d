"""Runs a stage in this process: with a Spark session that stays for the next one, and without words on the screen."""

import atexit
import contextlib
import io
import os
import sys
from contextlib import ExitStack
from typing import Any

from seqrec.core.errors import SeqrecError
from seqrec.interface.settings import Config
from seqrec.pipeline.command_line import understand
from seqrec.pipeline.machine_environment import prepare_environment
from seqrec.pipeline.stages import run_stage, take_shortcut, takes_session
from seqrec.pipeline.submit import ROOT, session_settings

_SESSIONS = ExitStack()  # Those started here; they end with the process, unless the user stops them before.
atexit.register(_SESSIONS.close)


def run(job: str, config: Config) -> Any:
    """What the stage of a job returns; a stage whose result is up to date is skipped.

    Raises:
        SeqrecError: what the job would report in one line.
    """
    with errors_in_one_line(config), _without_words():
        current = take_shortcut(job, config)
        if current is not None:
            return current
        if takes_session(job):
            _start_session(job, config)
        return run_stage(job, config)


@contextlib.contextmanager
def errors_in_one_line(config: Config) -> Any:
    """Context that turns Spark's and the system's errors that a user can act on into those of a job."""
    try:
        yield
    except SeqrecError:
        raise
    except Exception as error:
        known = understand(error, config.run.workdir)
        if known is None:
            raise
        raise known from error


def _start_session(job: str, config: Config) -> None:
    """Starts Spark as ./spark-submit.sh would on this machine, unless it runs already: it is then left as it is."""
    from seqrec.tables.sessions import is_running, spark_session

    if is_running():
        return
    prepare_environment(os.environ, is_local=True)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # The workers need the Python with the packages.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    _SESSIONS.enter_context(spark_session("python", session_settings(job, config)))


@contextlib.contextmanager
def _without_words() -> Any:
    """Context without tables on the screen: what they show is returned as a frame."""
    if "IPython" in sys.modules:  # In a notebook tables are not written to standard output.
        from IPython.utils.capture import capture_output

        with capture_output(stdout=True, stderr=False, display=True):
            yield
    else:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
