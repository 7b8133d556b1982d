"""Makes an Amazon-shaped log in the real file formats, with a taste and a short-term step planted in it.

./spark-submit.sh synthesize --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("synthesize", __file__)


if __name__ == "__main__":
    main()
