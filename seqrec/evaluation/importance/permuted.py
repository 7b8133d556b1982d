"""The inputs of a model, one of them with its values in another place, while everything else stays as it is.

A feature, or the category, is dealt out anew among the items; the order of a history's events, or the gaps between
them, are shuffled within each history. A model that does not rest on an input is as good as before.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from seqrec.core.batch import CatalogueBatch, History
from seqrec.models.contract import SequenceModel
from seqrec.models.layers.embedding import EventEmbedding

ORDER, TIME, CATEGORY = "order of events", "times of events", "category"


def inputs_of(model: SequenceModel) -> list[str]:
    """Names of the inputs that can be permuted: the features, the category, order and times."""
    features = model.embedding.features
    names = [] if features is None else [block.name for block in features.blocks]
    return [*names, *([CATEGORY] if model.embedding.categories is not None else []), ORDER, TIME]


@contextmanager
def permuted(model: SequenceModel, name: str, rng: np.random.Generator) -> Iterator[None]:
    """While it lasts, items have the feature `name`, or the category, of other items.

    A graph that was traced before does not see it. For order and times nothing changes: see `permuted_batch`.
    """
    embeddings = [part for part in model.submodules if isinstance(part, EventEmbedding)]
    try:
        if name not in (ORDER, TIME):
            order = np.concatenate([[0], 1 + rng.permutation(model.embedding.num_items)])
            for embedding in embeddings:
                embedding.deal_anew(None if name == CATEGORY else name, order)
        yield
    finally:
        for embedding in embeddings:
            embedding.deal_back()


def permuted_batch(batch: CatalogueBatch, name: str, rng: np.random.Generator) -> CatalogueBatch:
    """The batch with items or gaps of each history shuffled, if `name` is the order or the times."""
    if name not in (ORDER, TIME):
        return batch
    history = batch.history
    length = history.items.shape[2]
    is_real = np.arange(length) < history.length[..., None]
    # Real events get random keys, padding larger ones, so each history's own places come first.
    places = np.argsort(np.where(is_real, rng.random(is_real.shape), 2.0), axis=2)
    if name == ORDER:
        return batch._replace(history=history._replace(items=np.take_along_axis(history.items, places, axis=2)))
    return batch._replace(history=_with_gaps_shuffled(history, is_real, places))


def _with_gaps_shuffled(history: History, is_real: np.ndarray, places: np.ndarray) -> History:
    """The time from each event to the next one, or from the last one to the target, in another order."""
    to_target = np.where(is_real, history.seconds_to_target, 0.0).astype(np.float64)
    gaps = to_target - np.pad(to_target, [(0, 0), (0, 0), (0, 1)])[..., 1:]
    shuffled = np.take_along_axis(gaps, places, axis=2)
    after = np.where(is_real, np.cumsum(shuffled[..., ::-1], axis=2)[..., ::-1], 0.0)
    # The first event that the model reads keeps its place in time.
    first = (to_target + history.seconds_from_first)[..., :1]
    return history._replace(
        seconds_to_target=after.astype(np.float32),
        seconds_from_first=np.where(is_real, first - after, 0.0).astype(np.float32),
    )
