"""Targets a second of SASRec on Beauty beside RecTools' SASRec, in one run, in turns of a few steps each.

    python benchmarks/sasrec_beside_others.py WORKDIR RECTOOLS_PYTHON REVIEWS [ROUNDS [BATCH]]

WORKDIR holds `prepared/beauty` by conf/beauty_published.yaml, REVIEWS is the file it was made from. RECTOOLS_PYTHON is
the Python of an environment with `pip install "rectools[torch]==0.19.0"`. All sides: width 64, two blocks, one head,
the last 50 events, dropout .6, full softmax, one update for BATCH users (default 128: with 512 RecTools takes
minutes for a step where the machine is busy). RecTools leaves out the targets before a user's last 51 events; the table
counts targets, so this makes no difference to the ratio. A turn is STEPS[0] steps of RecTools and STEPS[1] of ours.
"""

import sys

from side_by_side import HERE, Side, compare

STEPS = (2, 10)


def main(workdir: str, rectools_python: str, reviews: str, rounds: str = "3", batch: str = "128") -> None:
    ours = [
        Side(f"seqrec, {matmul}", [sys.executable, str(HERE / "sasrec_process.py"), workdir, "beauty", batch, matmul])
        for matmul in ("float32", "bfloat16")
    ]
    others = [Side("RecTools 0.19", [rectools_python, str(HERE / "rectools_process.py"), reviews, batch])]
    sides = [*others, *ours]
    compare(sides, "train", [STEPS[0], *[STEPS[1]] * len(ours)], int(rounds))
    print("| side | targets/s, median | from, to | times RecTools | processor ms a target | RecTools' over it |")
    print("|---|---|---|---|---|---|")
    for side in sides:
        spread = f"{min(side.rates):,.0f} to {max(side.rates):,.0f}"
        times, cheaper = side.median / sides[0].median, sides[0].cost / side.cost
        print(f"| {side.name} | {side.median:,.0f} | {spread} | {times:.2f} | {side.cost:.4f} | {cheaper:.2f} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
