"""Training positives a second beside the reference implementation, in one run, in turns.

    python benchmarks/train_speed.py REFERENCE_PYTHON REVIEWS [ROUNDS [full | as-is]]

REFERENCE_PYTHON is the Python of an environment with recommenders 1.2.1 and TensorFlow 2.15.1:
    python3.11 -m venv ref && ref/bin/pip install "setuptools<70" wheel
    ref/bin/pip install recommenders==1.2.1 tensorflow-cpu==2.15.1 "numpy<2"
REVIEWS is `reviews_Beauty_5.json.gz`. Batch 400, softmax over 1+4, history 50, hidden 40, dropout .3, no l2.
"""

import sys
import tempfile

from side_by_side import compare, our_side, print_header, print_table, reference_side


def main(reference_python: str, reviews: str, rounds: str = "7", only: str = "") -> None:
    print_header("positives")
    for full in (False, True) if not only else (only == "full",):
        for model in ("a2svd", "sli_rec"):
            with tempfile.TemporaryDirectory() as folder:
                sides = [
                    reference_side(reference_python, model, reviews, folder, full),
                    our_side(model, reviews, full, "reference"),
                    our_side(model, reviews, full, "corrected"),
                    our_side(model, reviews, full, "corrected", num_streams=8),
                ]
                steps = 60 if model == "a2svd" else 12
                compare(sides, "train", [3, steps, steps, steps], int(rounds))
            print_table(model, "all 50 long" if full else "as they are", "positives", sides)


if __name__ == "__main__":
    main(*sys.argv[1:])
