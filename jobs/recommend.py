"""Lists the items that a trained run ranks best: for all users, for some, or for histories in a file.

./spark-submit.sh recommend --config conf/demo.yaml
./spark-submit.sh recommend --config conf/demo.yaml --set recommendation.user=ID   (prints one person's lists)
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("recommend", __file__)


if __name__ == "__main__":
    main()
