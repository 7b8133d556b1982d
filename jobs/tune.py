"""Searches settings of one model by its validation metric, then tests the best against the default.

./spark-submit.sh tune --config conf/tune_beauty.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("tune", __file__)


if __name__ == "__main__":
    main()
