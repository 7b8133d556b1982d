"""Makes a log in the form of Amazon's files, with planted tastes and short-term steps for models to find.

./spark-submit.sh synthesize --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("synthesize", __file__)


if __name__ == "__main__":
    main()
