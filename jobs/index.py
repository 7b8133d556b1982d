"""Writes the item vectors of a retrieval run as an index, exact or approximate, and measures it.

./spark-submit.sh index --config conf/demo.yaml --set model.name=sasrec
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("index", __file__)


if __name__ == "__main__":
    main()
