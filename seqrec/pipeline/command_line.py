"""The command line of every job (--config, --set and --help), and the way an error reaches the screen."""

import argparse
import ast
import errno
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from seqrec.core.errors import ConfigError, SeqrecError
from seqrec.core.secrets import RedactingFilter, redact
from seqrec.pipeline.config import LoadedConfig, load_run_config
from seqrec.pipeline.keys import describe_keys
from seqrec.pipeline.stages import STAGES, run_stage
from seqrec.scoring.library_log import end_of_screen, log_with_content

_REDACTING = RedactingFilter()


@dataclass(frozen=True)
class Arguments:
    """The parsed command line of a job."""

    job: str
    config: str | None
    overrides: tuple[str, ...]
    help: bool = False

    def for_job(self) -> list[str]:
        """The arguments in the form that the job itself takes."""
        chosen = ["--config", self.config] if self.config else []
        for override in self.overrides:
            chosen += ["--set", override]
        return chosen


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}. Usage: ./spark-submit.sh JOB [--config FILE] [--set section.key=value ...].")


def parse_arguments(job: str, argv: Sequence[str]) -> Arguments:
    """Reads the command line of a job.

    Raises:
        ConfigError: an argument is unknown, or has no value.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="section.key=value")
    parser.add_argument("--help", "-h", action="store_true")
    parsed = parser.parse_args(list(argv))
    return Arguments(job, parsed.config, tuple(parsed.overrides), parsed.help)


def help_text(job: str, script: Path) -> str:
    """A description of a job, and all keys that it reads, each with its default and meaning."""
    lines = [(ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "").strip(), ""]
    for section in ("", *STAGES[job].reads):
        lines.append(f"{section or 'top'}:" if section else "at the top of the file:")
        for key in describe_keys(section):
            lines.append(f"  {key.name}: {key.type} = {key.default}")
            if key.meaning:
                lines.append(f"      {key.meaning}")
        lines.append("")
    lines.append("Any key: --set section.key=value. Spark settings of the stage: a `spark:` block in its section.")
    return "\n".join(lines)


def run_job(job: str, script: str, argv: Sequence[str] | None = None) -> None:
    """Runs the stage of a job as `run_action` does; `argv` is the process' own unless it is given."""
    run_action(job, script, partial(run_stage, job), sys.argv[1:] if argv is None else argv)


def run_action(job: str, script: str, action: Callable[[LoadedConfig], object], argv: Sequence[str]) -> None:
    """Runs `action` on the config that `argv` names; an error is one line and exit status 1.

    After a success it returns, for Databricks takes even `sys.exit(0)` of a task for a failure.
    """
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_REDACTING)
        handler.addFilter(_is_no_interrupt)
    logging.getLogger("seqrec").setLevel(logging.INFO)
    # Lines reach a pipe or a file when they are printed, and in order with those on standard error.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    workdir = ""
    try:
        if "PYSPARK_GATEWAY_PORT" in os.environ:  # The job runs under spark-submit.
            from seqrec.tables.sessions import keep_jvm_at_interrupts

            keep_jvm_at_interrupts()
        arguments = parse_arguments(job, argv)
        if arguments.help:
            print(help_text(job, Path(script)))
            return
        config = load_run_config(arguments.config, arguments.overrides)
        workdir = config.run.workdir
        action(config)
    except KeyboardInterrupt:
        print(f"seqrec {job}: interrupted; run the same command again to resume.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        known = understand(error, workdir)
        if known is None:
            error.args = tuple(redact(part) if isinstance(part, str) else part for part in error.args)
            raise
        if (log := log_with_content()) is not None:
            print(f"seqrec {job}: what libraries wrote is in {log}", file=sys.stderr)
        status = report(job, known)
        end_of_screen()
        sys.exit(status)


def _is_no_interrupt(record: logging.LogRecord) -> bool:
    """Whether to show a record: py4j logs the call that a Ctrl-C cuts off, with its traceback."""
    return not (record.exc_info and record.exc_info[0] is KeyboardInterrupt)


def report(job: str, error: BaseException) -> int:
    """Prints the one line that the user needs; returns the exit status."""
    print(f"seqrec {job}: error: {redact(str(error))}", file=sys.stderr)
    return 1


def understand(error: BaseException, workdir: str) -> SeqrecError | None:
    """The error for the user behind an exception; None if the exception is a bug.

    It is an error of ours, or a full disk or a denied permission that Spark or the system reports.
    """
    if isinstance(error, SeqrecError):
        return error
    from seqrec.core.storage import explain  # Imports pyarrow, for which `--help` should not wait.

    text, somewhere = str(error), f"{workdir} or Spark's local folder (spark.local.dir)"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
        return SeqrecError(f"{error.filename or somewhere}: {explain(error)}")
    if type(error).__module__.startswith(("py4j", "pyspark")):
        for pattern, number in (
            ("No space left on device", errno.ENOSPC),
            ("Disk quota exceeded", errno.EDQUOT),
            ("Permission denied", errno.EACCES),
            ("Read-only file system", errno.EROFS),
        ):
            if pattern in text:
                return SeqrecError(f"{somewhere}: {explain(OSError(number, os.strerror(number)))}")
        if "UnsatisfiedLinkError" in text:
            return SeqrecError(
                "Java cannot load its libraries from its temporary folder, as on a file system without execution "
                "(noexec): give another one with -- --driver-java-options -Djava.io.tmpdir=/a/folder/of/yours."
            )
        if "seqrec.core.errors." in text:  # A Python worker of Spark raised it.
            raised = re.findall(r"seqrec\.core\.errors\.\w+: (.*)", text)
            return SeqrecError(raised[-1].strip()) if raised else None
    return None
