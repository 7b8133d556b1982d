"""Trains one model on the prepared sequences, on one worker or several.

./spark-submit.sh train --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("train", __file__)


if __name__ == "__main__":
    main()
