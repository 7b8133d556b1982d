"""Finds items worth scoring for every user: co-visited, also bought, also viewed, and popular ones.

./spark-submit.sh candidates --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("candidates", __file__)


if __name__ == "__main__":
    main()
