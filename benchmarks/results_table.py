"""The results table of the README, in Markdown, from stored evaluations.

python benchmarks/results_table.py WORKDIR RUN [RUN ...] [split=test] [protocol=sampled]
"""

import sys

from seqrec.core.errors import DataError
from seqrec.core.storage import Storage
from seqrec.evaluation.results import markdown_table, read_evaluation


def main(workdir: str, *words: str) -> None:
    runs = [word for word in words if "=" not in word]
    chosen = {"split": "test", "protocol": "sampled"} | dict(word.split("=", 1) for word in words if "=" in word)
    found = {run: read_evaluation(Storage(workdir), run, chosen["split"], chosen["protocol"]) for run in runs}
    missing = [run for run, evaluation in found.items() if evaluation is None]
    if missing or not runs:
        raise DataError(
            f"{workdir}: no {chosen['split']}, {chosen['protocol']} evaluation of {', '.join(missing) or 'no run'}."
        )
    print(markdown_table([evaluation for evaluation in found.values() if evaluation is not None]))


if __name__ == "__main__":
    main(*sys.argv[1:])
