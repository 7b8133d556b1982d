"""The picture of a ranker's card: what each feature was worth."""

from io import BytesIO

_MOST_BARS = 30


def importances_picture(importances: dict[str, float]) -> bytes:
    """A PNG of horizontal bars, the most important feature at the top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = list(importances.items())[:_MOST_BARS][::-1]
    figure = Figure(figsize=(7.0, 1.0 + 0.22 * len(shown)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.barh([name for name, _ in shown], [share for _, share in shown], color="#3b6ea5")
    axes.set_xlabel("share of what was learned")
    axes.tick_params(axis="y", labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.margins(y=0.01)
    content = BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()
