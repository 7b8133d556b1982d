"""Lists, for every item, the items that often come next or are alike; or measures such lists by the next events.

./spark-submit.sh similar_items --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("similar_items", __file__)


if __name__ == "__main__":
    main()
