"""Submits the job that the command line names: ./spark-submit.sh runs `python -m seqrec.pipeline JOB ...`."""

import sys

if __name__ == "__main__":
    try:  # A Ctrl-C may come during the imports, which take a second.
        from seqrec.pipeline.submit import main

        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("seqrec: interrupted; run the same command again.", file=sys.stderr)
        sys.exit(130)
