"""Random vocabularies, batches and weights for the models' tests."""

import numpy as np
import tensorflow as tf

from seqrec.core.batch import History
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.registry import build_model

NUM_TRAINED, NUM_ITEMS, NUM_CATEGORIES = 12, 15, 4  # Items 13 to 15 were never trained on.


def random_vocabulary(seed=0):
    category = np.random.default_rng(seed).integers(0, NUM_CATEGORIES + 1, NUM_ITEMS + 1).astype(np.int32)
    category[0] = 0
    return Vocabulary(
        num_trained_items=NUM_TRAINED,
        num_categories=NUM_CATEGORIES,
        item_category=category,
        train_count=np.ones(NUM_ITEMS + 1, np.int64),
    )


def random_model(name, seed=0, **settings):
    """A model whose weights are all random and large enough to matter."""
    settings = {"dropout": (0.0, 0.0), "item_dim": 5, "category_dim": 3, "layer_sizes": (6, 4), **settings}
    own = {"sli_rec": {"hidden_size": 8, "attention_size": 7, "attention_layer_sizes": [7, 5]}}
    settings = {"options": own if name == "sli_rec" else {}, **settings}
    config = ModelConfig(name=name, **settings)
    model = build_model(config, random_vocabulary(), seed=seed)
    rng = np.random.default_rng(seed)
    for variable_name, variable in model.named_variables().items():
        if "variance" in variable_name:
            variable.assign(rng.uniform(0.5, 2.0, variable.shape))
        else:
            variable.assign(rng.normal(0.0, 0.5, variable.shape))
    return model


def random_history(rng, num_streams, batch, padded_length, lengths=None):
    if lengths is None:
        lengths = rng.integers(0, padded_length + 1, [num_streams, batch])
        lengths[:, 0] = np.maximum(lengths[:, 0], 1)  # A stream without any event has no moments.
    lengths = np.broadcast_to(np.asarray(lengths, np.int32), [num_streams, batch])
    real = np.arange(padded_length) < lengths[..., None]
    days = np.sort(rng.integers(0, 400, [num_streams, batch, padded_length + 1]), axis=2)
    items = rng.integers(1, NUM_ITEMS + 1, real.shape)
    to_target = (days[..., -1:] - days[..., :-1]) * 86_400.0
    from_first = (days[..., :-1] - days[..., :1] + rng.integers(0, 9)) * 86_400.0
    return History(
        items=np.where(real, items, 0).astype(np.int32),
        length=lengths,
        seconds_to_target=np.where(real, to_target, 0).astype(np.float32),
        seconds_from_first=np.where(real, from_first, 0).astype(np.float32),
    )


def as_tensors(history):
    return History(*(tf.constant(part) for part in history))


def random_candidates(rng, num_streams, batch, num_candidates):
    return rng.integers(1, NUM_ITEMS + 1, [num_streams, batch, num_candidates]).astype(np.int32)
