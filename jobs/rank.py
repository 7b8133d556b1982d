"""Fits the learned last stage on the candidates of validation, or measures it on those of test.

./spark-submit.sh candidates --config conf/demo.yaml --set candidates.histories=validation
./spark-submit.sh rank --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("rank", __file__)


if __name__ == "__main__":
    main()
