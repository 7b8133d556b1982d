"""Runs the stages in order, from raw files to a table of results; finished stages are skipped.

./spark-submit.sh pipeline --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("pipeline", __file__)


if __name__ == "__main__":
    main()
