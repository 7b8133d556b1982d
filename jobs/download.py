"""Downloads the public files of an edition and its categories; resumes where it was interrupted.

./spark-submit.sh download --set download.edition=2018-small --set 'download.categories=[Gift_Cards]'
"""

from seqrec.pipeline.command_line import run_job


def main() -> None:
    run_job("download", __file__)


if __name__ == "__main__":
    main()
