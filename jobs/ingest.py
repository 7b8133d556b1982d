"""Reads raw review and metadata files into reviews, items and rejects; every line is accounted for.

./spark-submit.sh ingest --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("ingest", __file__)


if __name__ == "__main__":
    main()
