"""The models once more, as plainly as the equations read: padded, float64, one stream, nothing shared or packed.

Written from the equations alone, to compare the package's models with, in value and in gradient. B examples, T padded
length, N candidates.
"""

import numpy as np
import tensorflow as tf

DAY = 86_400.0
NAMES = ("a2svd", "gru", "sli_rec")  # Models that have a plain version: a method of `PlainModel`.


class PlainModel:
    """One model over float64 copies of the weights of a model under test."""

    def __init__(self, model, item_category, num_trained_items):
        self.config = model.config
        self.weights = {name: tf.Variable(tf.cast(v, tf.float64)) for name, v in model.named_variables().items()}
        self.item_category = item_category
        self.num_trained_items = num_trained_items

    def logits(self, items, length, to_target, from_first, candidates, training):
        """Logits [B, N] and the moments recorded on the way, flat [M]."""
        self.moments = []
        self.training = training
        self.length = length
        num_padding = self.config.max_history_length - items.shape[1]
        items, to_target, from_first = (np.pad(a, [(0, 0), (0, num_padding)]) for a in (items, to_target, from_first))
        self.real = np.arange(items.shape[1]) < length[:, None]  # [B, T]
        x = self.embed(items)
        q = self.embed(candidates)
        logits = getattr(self, self.config.name)(x, q, to_target.astype(np.float64), from_first.astype(np.float64))
        return logits, tf.concat(self.moments, 0) if self.moments else tf.zeros([0], tf.float64)

    def embed(self, items):
        unknown = self.num_trained_items + 1 if self.config.corrects("separate_unknown_item") else 0
        rows = np.where(items > self.num_trained_items, unknown, items)
        categories = self.item_category[items]
        w = self.weights
        return tf.concat(
            [tf.gather(w["embedding/items"], rows), tf.gather(w["embedding/categories"], categories)], axis=-1
        )

    def a2svd(self, x, q, to_target, from_first):
        return self.tower("tower", self.beside(self.long_term(x), q))

    def gru(self, x, q, to_target, from_first):
        w = self.weights
        size = w["gru/state_kernel"].shape[0]
        if not self.config.corrects("category_in_recurrence"):
            x = x[..., : self.config.item_dim]
        h = tf.zeros([x.shape[0], size], tf.float64)
        for t in range(x.shape[1]):
            z, r, n = tf.split(x[:, t] @ w["gru/input_kernel"] + w["gru/bias"], 3, axis=1)
            gz, gr = tf.split(h @ w["gru/gate_kernel"], 2, axis=1)
            z, r = tf.sigmoid(z + gz), tf.sigmoid(r + gr)
            n = tf.tanh(n + (r * h) @ w["gru/state_kernel"])
            h = tf.where(self.real[:, t, None], z * h + (1 - z) * n, h)
        return self.tower("tower", self.beside(h, q))

    def sli_rec(self, x, q, to_target, from_first):
        p1 = self.long_term(x)
        n = np.where(self.real, log_days(to_target), 0.0)
        u = np.zeros_like(n)
        for row, length in enumerate(self.length):
            for k in range(length):
                last = k == length - 1
                u[row, k] = log_days(to_target[row, k] + from_first[row, k] if last else from_first[row, k + 1])
        r = self.time_lstm(x, u, n)  # [B, T, H]
        p2 = self.target_attention(r, q)  # [B, N, H]
        if self.config.corrects("fusion_time_of_last_event"):
            last_time = [n[row, length - 1] if length else 0.0 for row, length in enumerate(self.length)]
        else:
            last_time = n[:, -1]
        num = q.shape[1]
        p1 = tf.repeat(p1[:, None], num, axis=1)
        time = tf.repeat(tf.constant(last_time, tf.float64)[:, None, None], num, axis=1)
        alpha = tf.sigmoid(self.tower("fusion", tf.concat([q, p1, p2, time], -1)))[..., None]
        return self.tower("tower", tf.concat([alpha * p1 + (1 - alpha) * p2, q], -1))

    def long_term(self, x):
        scores = tf.linalg.matvec(x @ self.weights["pooling/matrix"], self.weights["pooling/query"])  # [B, T]
        if not self.config.corrects("mask_long_term_attention"):
            return tf.einsum("bt,btd->bd", tf.nn.softmax(scores), x)
        return tf.einsum("bt,btd->bd", self.masked_softmax(scores, self.real), x)

    def masked_softmax(self, scores, mask):
        shares = tf.nn.softmax(tf.where(mask, scores, tf.constant(-1e30, tf.float64)))
        return tf.where(mask, shares, tf.zeros([], tf.float64))

    def time_lstm(self, x, u, n):
        w = {name.removeprefix("recurrence/"): v for name, v in self.weights.items()}
        if not self.config.corrects("category_in_recurrence"):
            x = x[..., : self.config.item_dim]
        size = w["bias"].shape[0] // 4
        h = c = tf.zeros([x.shape[0], size], tf.float64)
        outputs = []
        for t in range(x.shape[1]):
            a = tf.tanh(n[:, t, None] * w["to_target_scale"] + w["to_target_bias"])
            b = tf.tanh(u[:, t, None] * w["from_first_scale"] + w["from_first_bias"])
            e = x[:, t]
            tn = tf.sigmoid(e @ w["input_gate_event"] + a @ w["input_gate_time"] + w["input_gate_bias"])
            tu = tf.sigmoid(e @ w["forget_gate_event"] + b @ w["forget_gate_time"] + w["forget_gate_bias"])
            i, j, f, o = tf.split(tf.concat([e, h], 1) @ w["kernel"] + w["bias"], 4, axis=1)
            o += a @ w["output_to_target"] + b @ w["output_from_first"]
            new_c = tf.sigmoid(f + 1.0) * tu * c + tf.sigmoid(i) * tn * tf.tanh(j)
            new_h = tf.sigmoid(o) * tf.tanh(new_c)
            live = self.real[:, t, None]
            outputs.append(tf.where(live, new_h, tf.zeros_like(h)))
            h, c = tf.where(live, new_h, h), tf.where(live, new_c, c)
        return tf.stack(outputs, axis=1)

    def target_attention(self, r, q):
        k = r @ self.weights["attention/matrix"]
        num, steps = q.shape[1], r.shape[1]
        k = tf.repeat(k[:, None], num, axis=1)  # [B, N, T, D]
        each = tf.repeat(q[:, :, None], steps, axis=2)
        mask = np.broadcast_to(self.real[:, None], k.shape[:3])
        counted = mask if self.config.corrects("batch_norm_on_real_events") else np.ones_like(mask)
        scores = self.tower("attention/tower", tf.concat([k, each, k - each, k * each], -1), counted)
        return tf.einsum("bnt,bth->bnh", self.masked_softmax(scores, mask), r)

    def beside(self, user, q):
        return tf.concat([tf.repeat(user[:, None], q.shape[1], axis=1), q], axis=-1)

    def tower(self, name, h, counted=None):
        w = {key.removeprefix(f"{name}/"): v for key, v in self.weights.items() if key.startswith(f"{name}/")}
        layer = 0
        while f"kernel_{layer}" in w:
            h = h @ w[f"kernel_{layer}"] + w[f"bias_{layer}"]
            if f"norm_{layer}/scale" in w:
                h = self.batch_norm({k.removeprefix(f"norm_{layer}/"): v for k, v in w.items()}, h, counted)
            h = tf.nn.relu(h)
            layer += 1
        return (h @ w["output_kernel"] + w["output_bias"])[..., 0]

    def batch_norm(self, w, h, counted):
        mean, variance = w["moving_mean"], w["moving_variance"]
        if self.training:
            rows = tf.reshape(h, [-1, h.shape[-1]])
            if counted is not None:
                rows = rows[counted.reshape(-1)]
            mean = tf.reduce_mean(rows, axis=0)
            variance = tf.reduce_mean((rows - mean) ** 2, axis=0)
            self.moments += [mean, variance]
        return (h - mean) / tf.sqrt(variance + self.config.batch_norm_epsilon) * w["scale"] + w["offset"]


def log_days(seconds):
    return np.log(np.maximum(seconds / DAY, 0.5))
