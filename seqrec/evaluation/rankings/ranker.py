"""What a ranker is, and the rankers that one evaluation compares."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from seqrec.evaluation.rankings.catalogue import Catalogue
from seqrec.evaluation.rows import EvaluationRows
from seqrec.evaluation.statistics.slices import Slicer

SharedScores = Callable[[np.ndarray], np.ndarray]  # Candidates int32 [N], shared by all rows -> scores [B, N].


@dataclass(frozen=True)
class Block:
    """What is scored at once in the full protocol; 64 rows of SLi-Rec and 512 items stay within some 100 MB."""

    rows: int = 64
    items: int = 512


class Ranker(Protocol):
    """Anything that scores candidates after a history: a trained run, or a baseline. Higher is better."""

    def scores(self, rows: EvaluationRows, candidates: np.ndarray) -> np.ndarray:
        """Scores [B, N] of candidates int32 [B, N], or of one list [N] shared by all rows."""
        ...


@dataclass(frozen=True)
class ComparedRankers:
    """The rankers that are compared, and all that a worker needs for it; broadcast once."""

    names: tuple[str, ...]
    rankers: tuple[Ranker, ...]
    slicer: Slicer
    top_k: int  # Best items of each row that are kept, for coverage, popularity and novelty.
    catalogue: Catalogue | None = None  # The items of the full protocol; None for the stored candidates.


def scores_after(ranker: Ranker, rows: EvaluationRows) -> SharedScores:
    """A function that scores any number of shared candidates after the same rows; a model reads the rows only once."""
    encode = getattr(ranker, "encode", None)
    return partial(ranker.scores, rows) if encode is None else encode(rows)


def block_of(ranker: Ranker) -> Block:
    """What a ranker scores at once: its own choice, if it has one."""
    return getattr(ranker, "block", Block())
