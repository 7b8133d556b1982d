"""The commands `seqrec JOB ...` and `seqrec-JOB ...` of an installed wheel; they do what ./spark-submit.sh does."""

import ast
import sys
from pathlib import Path

from seqrec.pipeline.config import folder_of
from seqrec.pipeline.submit import main as submit


def main() -> None:
    """Submits the job that the command line names, or lists the jobs."""
    argv = sys.argv[1:]
    if argv and argv[0] in job_summaries():
        sys.exit(submit(argv))
    is_help = bool(argv) and argv[0] in ("-h", "--help", "help")
    stream = sys.stdout if is_help else sys.stderr
    if argv and not is_help:
        print(f"seqrec: unknown job '{argv[0]}'.", file=stream)
    print("Usage: seqrec JOB [--config FILE] [--set section.key=value ...] [-- spark-submit options]", file=stream)
    print("Jobs:", file=stream)
    for job, summary in job_summaries().items():
        print(f"  {job:12} {summary}", file=stream)
    sys.exit(0 if is_help else 2)


def run_named() -> None:
    """Submits the job that the command itself is named after, such as `seqrec-train`."""
    sys.exit(submit([Path(sys.argv[0]).stem.removeprefix("seqrec-"), *sys.argv[1:]]))


def job_summaries() -> dict[str, str]:
    """Job -> the first line of its docstring."""
    summaries = {}
    for file in sorted(folder_of("jobs").glob("*.py")):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        if text and file.stem != "__init__":
            summaries[file.stem] = text.splitlines()[0]
    return summaries
