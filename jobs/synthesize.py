"""Makes an Amazon-shaped log in the real file formats, with a taste and a short-term step planted in it.

./spark-submit.sh synthesize --config conf/demo.yaml
"""

from seqrec.pipeline.command_line import run_job
from seqrec.pipeline.stages import synthesize


def main() -> None:
    run_job("synthesize", __file__, synthesize)


if __name__ == "__main__":
    main()
