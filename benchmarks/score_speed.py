"""Scoring groups of 1+49 candidates a second beside the reference implementation, in one run, in turns.

    python benchmarks/score_speed.py REFERENCE_PYTHON REVIEWS [ROUNDS [full | as-is]]

Arguments as for `train_speed.py`. The reference scores 400 rows (8 groups) at a time, its own batch size; ours 400
groups.
"""

import sys
import tempfile

from side_by_side import compare, our_side, print_header, print_table, reference_side


def main(reference_python: str, reviews: str, rounds: str = "7", only: str = "") -> None:
    print_header("groups")
    for full in (False, True) if not only else (only == "full",):
        for model in ("a2svd", "sli_rec"):
            with tempfile.TemporaryDirectory() as folder:
                sides = [
                    reference_side(reference_python, model, reviews, folder, full),
                    our_side(model, reviews, full, "reference"),
                    our_side(model, reviews, full, "corrected"),
                ]
                batches = 20 if model == "a2svd" else 5
                compare(sides, "score", [20, batches, batches], int(rounds))
            print_table(model, "all 50 long" if full else "as they are", "groups", sides)


if __name__ == "__main__":
    main(*sys.argv[1:])
