"""Writes a trained run as a SavedModel that takes raw item ids and times, and a card that describes it.

./spark-submit.sh export --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("export", __file__)


if __name__ == "__main__":
    main()
