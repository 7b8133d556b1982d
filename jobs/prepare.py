"""Turns ingested reviews into the vocabulary and the training, validation and test sequences.

./spark-submit.sh prepare --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("prepare", __file__)


if __name__ == "__main__":
    main()
