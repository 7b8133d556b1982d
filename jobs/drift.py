"""Compares prepared data with earlier data, or its later events with its earlier ones; fails if too much has changed.

./spark-submit.sh drift --config conf/demo.yaml --set drift.fail_above=null
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("drift", __file__)


if __name__ == "__main__":
    main()
