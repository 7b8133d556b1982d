"""The golden fixtures of the reference implementation, in the shapes and names of this project."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from seqrec.core.batch import History
from seqrec.events.vocabulary import Vocabulary
from seqrec.models.config import ModelConfig
from seqrec.models.contract import SequenceModel
from seqrec.models.registry import build_model

HISTORY_LENGTH = 12
FILES = {"a2svd": "a2svd.npz", "sli_rec": "slirec.npz"}

_TOWER = {
    f"{ours}_{layer}": f"{theirs}{layer}"
    for layer in (0, 1)
    for ours, theirs in (("kernel", "w_nn_layer"), ("bias", "b_nn_layer"))
}
_TOWER |= {"output_kernel": "w_nn_output", "output_bias": "b_nn_output"}
for _layer, _norm in enumerate(("batch_normalization", "batch_normalization_1")):
    _TOWER |= {f"norm_{_layer}/scale": f"{_norm}/gamma", f"norm_{_layer}/offset": f"{_norm}/beta"}
    _TOWER |= {f"norm_{_layer}/{name}": f"{_norm}/{name}" for name in ("moving_mean", "moving_variance")}
_EMBEDDING = {"embedding/items": "embedding/item_embedding", "embedding/categories": "embedding/cate_embedding"}
_CELL = "sli_rec/rnn/time4lstm/time4lstm_cell"
_SLI_REC = {
    "pooling/matrix": "sli_rec/long_term_asvd/attention_mat",
    "pooling/query": "sli_rec/long_term_asvd/query",
    "attention/matrix": "sli_rec/attention_fcn/attention_fcn/attention_mat",
    "recurrence/to_target_scale": f"{_CELL}/_time_input_w1",
    "recurrence/to_target_bias": f"{_CELL}/_time_input_bias1",
    "recurrence/from_first_scale": f"{_CELL}/_time_input_w2",
    "recurrence/from_first_bias": f"{_CELL}/_time_input_bias2",
    "recurrence/input_gate_event": f"{_CELL}/_time_kernel_w1",
    "recurrence/input_gate_time": f"{_CELL}/_time_kernel_t1",
    "recurrence/input_gate_bias": f"{_CELL}/_time_bias1",
    "recurrence/forget_gate_event": f"{_CELL}/_time_kernel_w2",
    "recurrence/forget_gate_time": f"{_CELL}/_time_kernel_t2",
    "recurrence/forget_gate_bias": f"{_CELL}/_time_bias2",
    "recurrence/output_to_target": f"{_CELL}/_o_kernel_t1",
    "recurrence/output_from_first": f"{_CELL}/_o_kernel_t2",
    "recurrence/kernel": f"{_CELL}/kernel",
    "recurrence/bias": f"{_CELL}/bias",
}
NAMES = {
    "a2svd": _EMBEDDING
    | {"pooling/matrix": "a2svd/Attention_layer/attention_mat", "pooling/query": "a2svd/Attention_layer/query"}
    | {f"tower/{ours}": f"logit_fcn/nn_part/{theirs}" for ours, theirs in _TOWER.items()},
    "sli_rec": _EMBEDDING
    | _SLI_REC
    | {f"tower/{ours}": f"logit_fcn/nn_part/{theirs}" for ours, theirs in _TOWER.items()}
    | {f"fusion/{ours}": f"sli_rec/fcn_alpha/nn_part/{theirs}" for ours, theirs in _TOWER.items()}
    | {
        f"attention/tower/{ours}": f"sli_rec/attention_fcn/attention_fcn/att_fcn/nn_part/{theirs}"
        for ours, theirs in _TOWER.items()
    },
}


class Golden:
    """One model's fixture: weights before and after two steps, and the batches."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.arrays = dict(np.load(folder / FILES[name], allow_pickle=False))

    def build(self, **settings: object) -> SequenceModel:
        config = ModelConfig(
            **{
                "name": self.name,
                "compatibility": "reference",
                "max_history_length": HISTORY_LENGTH,
                "dropout": (0.0, 0.0),
                "embed_l2": 1e-2,
                "layer_l2": 1e-3,
                **settings,
            }
        )
        model = build_model(config, self.vocabulary(), seed=1)
        for name, variable in model.named_variables().items():
            variable.assign(self.weight("w0", name))
        return model

    def vocabulary(self) -> Vocabulary:
        num_items = len(self.weight("w0", "embedding/items")) - 1
        category = np.zeros(num_items + 1, np.int32)
        for part in ("eval", "train1", "train2"):
            category[self.arrays[f"{part}/item_history"]] = self.arrays[f"{part}/item_cate_history"]
            category[self.arrays[f"{part}/items"]] = self.arrays[f"{part}/cates"]
        num_categories = len(self.weight("w0", "embedding/categories")) - 1
        return Vocabulary(
            num_trained_items=num_items,
            num_categories=num_categories,
            item_category=category,
            train_count=np.ones(num_items + 1, np.int64),
        )

    def weight(self, moment: str, name: str) -> np.ndarray:
        return self.arrays[f"{moment}/sequential/{NAMES[self.name][name]}"]

    def batch(self, part: str) -> tuple[History, tf.Tensor, np.ndarray]:
        """History of one stream, candidates [1, B, N], and the reference's logits [1, B, N]."""
        labels = self.arrays[f"{part}/labels"][:, 0]
        starts = np.flatnonzero(labels == 1) if part != "eval" else np.arange(len(labels))
        group = len(labels) // len(starts)
        length = self.arrays[f"{part}/mask"][starts].sum(1).astype(np.int32)
        to_target = _seconds(self.arrays[f"{part}/time_to_now"][starts])
        shifted = _seconds(self.arrays[f"{part}/time_from_first_action"][starts])
        from_first = np.concatenate([np.zeros((len(starts), 1)), shifted[:, :-1]], axis=1)
        last = np.take_along_axis(shifted, length[:, None] - 1, axis=1)[:, 0]
        real = np.arange(HISTORY_LENGTH) < length[:, None]
        # The first event's own time since the first action is not in the fixture; the total, t* - t_0, gives it.
        single = length == 1
        from_first[single, 0] = last[single] - to_target[single, 0]
        history = History(
            items=tf.constant(self.arrays[f"{part}/item_history"][starts][None]),
            length=tf.constant(length[None]),
            seconds_to_target=tf.constant((to_target * real)[None], tf.float32),
            seconds_from_first=tf.constant((from_first * real)[None], tf.float32),
        )
        candidates = self.arrays[f"{part}/items"].reshape(1, len(starts), group)
        return history, tf.constant(candidates), self.arrays[f"{part}/logit"].reshape(1, len(starts), group)


def _seconds(log_days: np.ndarray) -> np.ndarray:
    """Whole days, as all times of the fixture are; the reference lifts 0 to half a day before the logarithm."""
    days = np.exp(log_days.astype(np.float64))
    return np.where(days < 0.75, 0.0, np.round(days)) * 86_400.0
