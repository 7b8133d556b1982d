"""Draws the pictures of docs/: what an order of events shows, and how the data flows.

python docs/make_pictures.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

FOLDER = Path(__file__).parent
BLUE, ORANGE, GREEN, GREY, LIGHT = "#2b6cb0", "#c05621", "#2f855a", "#4a5568", "#edf2f7"
plt.rcParams.update({"font.size": 10, "font.family": "DejaVu Sans", "svg.hashsalt": "seqrec"})


def main() -> None:
    draw_order()
    draw_models()
    draw_data_flow()


def draw_order() -> None:
    """Two people with the same items in another order: a bag of items cannot tell them apart."""
    figure, axes = plt.subplots(figsize=(8.2, 3.0))
    axes.set_axis_off()
    axes.set_xlim(-0.2, 10.2)
    axes.set_ylim(0, 3.5)
    rows = (
        (2.5, "Ann", ("guitar", "strings", "songbook", "stroller", "crib"), "baby monitor", GREEN),
        (1.0, "Ben", ("crib", "stroller", "songbook", "strings", "guitar"), "amplifier", BLUE),
    )
    for y, name, items, following, colour in rows:
        axes.text(0.0, y, name, va="center", fontweight="bold", color=GREY)
        for place, item in enumerate(items):
            is_baby = item in ("stroller", "crib")
            _box(axes, 1.6 + 1.45 * place, y, item, GREEN if is_baby else BLUE)
        axes.annotate("", (8.55, y), (8.15, y), arrowprops={"arrowstyle": "->", "color": GREY})
        _box(axes, 9.4, y, following, colour, width=1.5, filled=True)
    axes.text(1.0, 3.15, "earlier", color=GREY, fontsize=9)
    axes.text(7.4, 3.15, "latest", color=GREY, fontsize=9, ha="center")
    axes.text(9.4, 3.15, "next", color=GREY, fontsize=9, ha="center")
    axes.text(
        5.1,
        0.15,
        "The same five items: a model of the bag gives both the same list. The order distinguishes them.",
        ha="center",
        color=GREY,
        fontsize=9,
    )
    _save(figure, "order")


def draw_models() -> None:
    """The two models: the long-term part that they share, and what SLi-Rec adds."""
    figure, axes = plt.subplots(figsize=(8.2, 4.1))
    axes.set_axis_off()
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 5)
    for place in range(5):
        _box(axes, 1.0 + 0.95 * place, 0.55, f"item {place + 1}", GREY, width=0.86)
    axes.text(2.9, 0.05, "history, oldest first, with the time of each event", ha="center", fontsize=9, color=GREY)
    _box(axes, 2.0, 2.1, "attention over all events:\nlasting taste", BLUE, width=3.0, height=0.8)
    _box(
        axes,
        5.9,
        2.1,
        "LSTM that knows the time between events,\nattention by the candidate: the moment",
        ORANGE,
        width=4.2,
        height=0.8,
    )
    _box(axes, 8.9, 0.55, "candidate", GREY, width=1.4)
    _box(axes, 4.6, 3.45, "gate: how much of each", ORANGE, width=3.2, height=0.6)
    _box(axes, 4.6, 4.55, "score of the candidate", GREEN, width=3.2, height=0.6, filled=True)
    axes.plot([0.6, 0.6, 5.2, 5.2], [0.9, 1.02, 1.02, 0.9], color=GREY, lw=1.2)  # All events go to both.
    _arrow(axes, (2.0, 1.02), (2.0, 1.7), BLUE)
    _arrow(axes, (4.6, 1.02), (5.2, 1.7), ORANGE)
    _arrow(axes, (8.8, 0.82), (7.4, 1.7), ORANGE)
    _arrow(axes, (2.3, 2.5), (3.8, 3.15), BLUE)
    _arrow(axes, (5.9, 2.5), (5.2, 3.15), ORANGE)
    _arrow(axes, (4.6, 3.75), (4.6, 4.25), GREEN)
    _arrow(axes, (9.1, 0.82), (6.2, 4.5), GREY)
    axes.text(0.35, 3.6, "A2SVD: blue alone", color=BLUE, fontweight="bold", fontsize=10)
    axes.text(0.35, 3.2, "SLi-Rec: with orange", color=ORANGE, fontweight="bold", fontsize=10)
    _save(figure, "models")


def draw_data_flow() -> None:
    """Datasets below the workdir, and the jobs between them."""
    figure, axes = plt.subplots(figsize=(9.4, 4.3))
    axes.set_axis_off()
    axes.set_xlim(0, 15.9)
    axes.set_ylim(0, 6.2)
    columns = (2.0, 6.0, 10.0, 14.0)
    upper, lower = 4.3, 1.7
    boxes = (
        (0, upper, "raw/NAME\nlines as published", GREY),
        (1, upper, "ingested/NAME\nreviews, items, rejects", BLUE),
        (2, upper, "prepared/NAME\nvocabulary, sequences", BLUE),
        (3, upper, "runs/RUN\nweights, vocabulary", ORANGE),
        (0, lower, "runs/RUN/evaluations\nmetrics, report.html", GREEN),
        (1, lower, "recommendations/RUN\ntop k for each user", GREEN),
        (2, lower, "candidates/NAME\n500 for each user", BLUE),
        (3, lower, "tuning/STUDY\ntrials, best.yaml", ORANGE),
    )
    for column, y, text, colour in boxes:
        _box(axes, columns[column], y, text, colour, width=2.9, height=1.0)
    half = 1.55
    axes.text(columns[0], upper + 0.72, "download, synthesize", ha="center", color=GREY, fontsize=9)
    for column, name in enumerate(("ingest", "prepare", "train")):
        _job(axes, (columns[column] + half, upper), (columns[column + 1] - half, upper), name, (0.0, 0.62))
    _job(axes, (columns[2], upper - 0.55), (columns[2], lower + 0.55), "candidates", (-0.95, -0.1))
    _job(axes, (columns[2] + 1.0, upper - 0.55), (columns[3] - 1.0, lower + 0.55), "tune", (0.5, 0.0))
    _job(axes, (columns[2] - half, lower), (columns[1] + half, lower), "recommend", (0.0, 0.62))
    # The run goes to the results over the top, and to the lists below.
    axes.plot(
        [columns[3], columns[3], 0.02, 0.02], [upper + 0.55, 5.65, 5.65, lower], color=ORANGE, lw=1.2, clip_on=False
    )
    axes.plot(
        [columns[3] + 1.5, 15.8, 15.8, columns[1]], [upper, upper, 0.65, 0.65], color=ORANGE, lw=1.2, clip_on=False
    )
    _arrow(axes, (0.02, lower), (0.5, lower), ORANGE)
    _arrow(axes, (columns[1], 0.65), (columns[1], lower - 0.55), ORANGE)
    axes.text(7.7, 5.75, "evaluate (reads prepared/NAME too)", ha="center", color=GREY, fontsize=9)
    axes.text(
        10.2, 0.25, "recommend reads the run; export makes runs/RUN/export of it", ha="center", color=GREY, fontsize=9
    )
    _save(figure, "data_flow")


def _box(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    colour: str,
    width: float = 1.3,
    height: float = 0.55,
    filled: bool = False,
) -> None:
    """A rounded box with its text, centred at (x, y)."""
    shape = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0.02,rounding_size=0.08",
        facecolor=colour if filled else "white",
        edgecolor=colour,
        linewidth=1.4,
    )
    axes.add_patch(shape)
    axes.text(x, y, text, ha="center", va="center", color="white" if filled else colour, fontsize=8.5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=colour, linewidth=1.2))


def _job(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], name: str, shift: tuple[float, float] = (0.0, 0.2)
) -> None:
    """An arrow between two datasets with the name of its job."""
    _arrow(axes, start, end, GREY)
    middle = ((start[0] + end[0]) / 2 + shift[0], (start[1] + end[1]) / 2 + shift[1])
    axes.text(*middle, name, ha="center", color=GREY, fontsize=9)


def _save(figure: plt.Figure, name: str) -> None:
    """As a PNG without the version of what drew it, so that the same picture is the same file."""
    figure.savefig(FOLDER / f"{name}.png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
