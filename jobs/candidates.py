"""Finds for every user the items worth scoring: taken together, bought also, popular.

./spark-submit.sh candidates --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("candidates", __file__)


if __name__ == "__main__":
    main()
