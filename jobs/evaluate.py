"""Measures a trained run on the test split, beside simple rankings of the same candidates.

./spark-submit.sh evaluate --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("evaluate", __file__)


if __name__ == "__main__":
    main()
