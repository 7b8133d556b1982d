"""The batches that the feed gives to a model: the only contract between the two.

S streams, B examples of each stream, L padded history length, N candidates. The fields are NumPy arrays on the host and
tensors inside a graph. Batches are named tuples, so that TensorFlow maps over them without being imported here.
"""

from typing import Any, NamedTuple

PADDING_INDEX = 0  # Item index of padding and of nothing else; category index of padding or of a missing category.


class History(NamedTuple):
    """Events before the target, oldest first, right padded.

    The times are plain differences, taken in int64 and only then cast: the model shifts, takes logarithms and masks.
    For a real event k at time t_k, with target time t* and the user's first event at t_0 (not the window's):
    `seconds_to_target` = t* - t_k, `seconds_from_first` = t_k - t_0; padding holds 0.
    """

    items: Any  # int32 [S, B, L], 0 is padding.
    length: Any  # int32 [S, B], number of real events; 0 for an empty history.
    seconds_to_target: Any  # float32 [S, B, L]
    seconds_from_first: Any  # float32 [S, B, L]


class TrainBatch(NamedTuple):
    """Histories, each with the item that followed."""

    history: History
    target_item: Any  # int32 [S, B], never 0.


class ListedBatch(NamedTuple):
    """A TrainBatch whose examples have a list of items each that are worth telling from the target."""

    history: History
    target_item: Any  # int32 [S, B], never 0.
    listed_items: Any  # int32 [S, B, M], without gaps from the left, 0 is padding; never the target.


class EvalBatch(NamedTuple):
    """Histories, each with the candidates to score."""

    history: History
    candidate_items: Any  # int32 [S, B, N], the target first.


class CatalogueBatch(NamedTuple):
    """Histories with the targets to find in the whole catalogue."""

    history: History
    target_items: Any  # int32 [S, B], 0 in rows that only fill up the batch.
    own_items: Any  # int32 [S, B, E], items of all stored events, also of those beyond `history`; 0 is padding.


class EventRuns(NamedTuple):
    """Runs of consecutive events of one user each, oldest first, right padded: what a retrieval model reads.

    After every event of a run a model has a state that depends on that event and the earlier ones only.
    """

    items: Any  # int32 [S, B, L], 0 is padding.
    length: Any  # int32 [S, B], number of real events; 0 for an empty run.
    seconds_from_previous: Any  # float32 [S, B, L], time since the event before; 0 for a first event and for padding.


class RunBatch(NamedTuple):
    runs: EventRuns
    target_items: Any  # int32 [S, B, L], the item to predict after each event; 0 where nothing is to be predicted.
