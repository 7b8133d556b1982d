import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from seqrec.core.batch import History
from seqrec.core.errors import ConfigError
from seqrec.core.storage import Storage
from seqrec.events.ragged import Ragged
from seqrec.events.rows import HistoryRows
from seqrec.events.vocabulary import read_vocabulary
from seqrec.recommendation.config import ExportConfig
from seqrec.recommendation.export.stage import export_path, run_export
from seqrec.scoring.loaded_model import read_model
from seqrec.scoring.run import read_run
from seqrec.scoring.scorer import run_scorer, stored_model
from tests.recommendation.world import DAY, NUM_ITEMS, START, item_id, write_run, write_world

LENGTH = 6  # What the models of these tests read of a history.

# Runs where seqrec cannot be imported: the interpreter is isolated, and the name is barred. SEQREC_CLIENT_PYTHON names
# another interpreter for it, such as that of an environment in which nothing but TensorFlow is installed.
CLIENT_PYTHON = os.environ.get("SEQREC_CLIENT_PYTHON", sys.executable)
CLIENT = """
import json, sys
sys.modules["seqrec"] = None
import numpy as np, tensorflow as tf
folder, request = sys.argv[1], json.load(open(sys.argv[2]))
model = tf.saved_model.load(folder)
answers = []
for name, inputs in request:
    types = {"item_ids": tf.string, "candidate_ids": tf.string, "timestamps": tf.int64, "as_of": tf.int64}
    shape = {"as_of": [-1], "k": []}
    tensors = {}
    for key, value in inputs.items():
        tensor = tf.constant(value, types.get(key, tf.int32))
        tensors[key] = tf.reshape(tensor, [1, 0]) if value == [[]] else tensor
    answer = model.signatures[name](**tensors)
    answers.append({key: np.asarray(value).astype(str if value.dtype == tf.string else None).tolist()
                    for key, value in answer.items()})
json.dump(answers, open(sys.argv[3], "w"))
"""


@pytest.fixture(scope="module", params=["a2svd", "sli_rec"])
def exported(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[Storage, str]:
    storage = Storage(str(tmp_path_factory.mktemp("export")))
    write_run(storage, write_world(storage), request.param, request.param)
    run_export(storage, request.param, ExportConfig(max_k=NUM_ITEMS, block_size=16))
    return storage, request.param


def ask(storage: Storage, run: str, folder: Path, requests: list) -> list[dict]:
    (folder / "request.json").write_text(json.dumps(requests))
    model = storage.local(f"{export_path(run)}/saved_model")
    command = [CLIENT_PYTHON, "-I", "-c", CLIENT, str(model), str(folder / "request.json"), str(folder / "answer")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "answer").read_text())


def in_process(storage: Storage, run: str, items: list[int], times: list[int], as_of: int) -> np.ndarray:
    """Logits of the whole catalogue, [NUM_ITEMS]."""
    trained = read_run(storage, run)
    model = read_model(stored_model(storage, trained, read_vocabulary(storage, trained.manifest), num_threads=1))
    read, seconds = items[-LENGTH:], times[-LENGTH:] if items else []
    fill = [0] * (LENGTH - len(read))
    history = History(
        np.array([[read + fill]], np.int32),
        np.array([[len(read)]], np.int32),
        np.array([[[as_of - t for t in seconds] + fill]], np.float32),
        np.array([[[t - times[0] for t in seconds] + fill]], np.float32),
    )
    return model.score(model.encode(history), tf.range(1, NUM_ITEMS + 1)).numpy()[0, 0]


def test_exported_model_answers_like_the_run_without_seqrec(exported, tmp_path: Path):
    storage, run = exported
    items, times, now = [4, 9, 58, 21], [START, START + DAY, START + 9 * DAY, START + 30 * DAY], START + 50 * DAY
    events = {"timestamps": [times], "as_of": [now]}
    everything = list(range(1, NUM_ITEMS + 1))
    ids, every_id = [[item_id(i) for i in items]], [[item_id(i) for i in everything]]
    long = [1 + i % NUM_ITEMS for i in range(10_000)]
    long_times = [START + i * 3600 for i in range(10_000)]
    with_unknown = {
        "item_ids": [["nonsense", *reversed(ids[0]), "", item_id(30)]],
        "timestamps": [[START, *reversed(times), 0, now + 1]],  # In another order; the last one is yet to come.
        "as_of": [now],
    }

    answers = ask(
        storage,
        run,
        tmp_path,
        [
            ("serving_default", {**events, "item_ids": ids, "candidate_ids": every_id}),
            ("score_indices", {**events, "item_indices": [items], "candidate_indices": [everything]}),
            ("serving_default", {**with_unknown, "candidate_ids": [[*every_id[0], "nonsense"]]}),
            (
                "serving_default",
                {"item_ids": [[]], "timestamps": [[]], "as_of": [now], "candidate_ids": every_id},
            ),
            (
                "score_indices",
                {
                    "item_indices": [long],
                    "timestamps": [long_times],
                    "as_of": [long_times[-1]],
                    "candidate_indices": [everything],
                },
            ),
            ("top_k", {**events, "item_ids": ids, "k": 10}),
            ("top_k_indices", {**events, "item_indices": [items], "k": NUM_ITEMS}),
            ("top_k_indices", {**events, "item_indices": [items], "k": -1}),
        ],
    )

    expected = in_process(storage, run, items, times, now)
    by_id, by_index, unknown, empty, longest, top, top_indices, none = answers
    assert by_id["scores"][0] == pytest.approx(expected, abs=1e-5)
    assert by_index["scores"][0] == pytest.approx(expected, abs=1e-5)
    assert unknown["scores"][0][:-1] == pytest.approx(expected, abs=1e-5)
    assert unknown["known"][0] == [True] * NUM_ITEMS + [False]
    assert empty["scores"][0] == pytest.approx(in_process(storage, run, [], [now], now), abs=1e-5)
    after_long = in_process(storage, run, long, long_times, long_times[-1])
    assert longest["scores"][0] == pytest.approx(after_long, abs=1e-5)
    best = [i for i in np.argsort(-expected, kind="stable") + 1 if i not in items]
    assert top["item_ids"][0] == [item_id(i) for i in best[:10]]
    assert top["scores"][0] == pytest.approx(expected[np.array(best[:10]) - 1], abs=1e-5)
    assert top_indices["item_indices"][0] == best + [0] * len(items)
    assert none["item_indices"][0] == none["scores"][0] == []


def test_run_export_writes_a_card(exported):
    storage, run = exported

    text = storage.read_bytes(f"{export_path(run)}/card.md").decode()

    assert f"# {run}" in text
    assert f"The model knows {NUM_ITEMS} items" in text
    assert "4 of these items were never trained on" in text
    assert "weights: weights of" in text


def test_run_export_states_only_what_was_measured_of_these_weights(exported):
    storage, run = exported
    content = read_run(storage, run).manifest.content
    config = ExportConfig(max_k=NUM_ITEMS, block_size=16)
    for protocol, measured_of in (("sampled", content), ("full", "the weights of last week")):
        evaluation = {
            "lineage": {"runs": [{"name": run, "content": measured_of}]},
            "results": [{"name": run, "metrics": {"auc": 0.75}}, {"name": "popularity", "metrics": {"auc": 0.5}}],
        }
        storage.write_bytes(f"runs/{run}/evaluations/test-{protocol}.json", json.dumps(evaluation).encode())

    card = run_export(storage, run, config)  # Not forced: measured since the last export.

    assert card["metrics"] == {"validation, best epoch": {"auc": 0.5}, "test-sampled": {"auc": 0.75}}
    assert "test-sampled / auc: 0.75" in storage.read_bytes(f"{export_path(run)}/card.md").decode()


def test_run_export_is_skipped_when_nothing_has_changed(exported):
    storage, run = exported
    config = ExportConfig(max_k=NUM_ITEMS, block_size=16)
    before = {file.path: file.modified for file in storage.list_files(export_path(run))}

    run_export(storage, run, config)

    assert {file.path: file.modified for file in storage.list_files(export_path(run))} == before


def test_run_export_says_that_mlflow_is_missing(exported, monkeypatch):
    storage, run = exported
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(ConfigError, match="MLflow is not installed"):
        run_export(storage, run, ExportConfig(mlflow_tracking_uri="file:///nowhere"), force=True)


@pytest.mark.parametrize("model", ["sasrec", "gru4rec"])
def test_an_exported_retrieval_model_gives_the_states_and_vectors_of_the_run(tmp_path: Path, model: str):
    storage = Storage(str(tmp_path / "work"))
    write_run(storage, write_world(storage), model, model)
    card = run_export(storage, model, ExportConfig(max_k=NUM_ITEMS, block_size=16))
    items, times, now = [4, 9, 58, 21], [START, START + DAY, START + 9 * DAY, START + 30 * DAY], START + 50 * DAY
    events = {"timestamps": [times], "as_of": [now]}

    by_id, by_index, vectors, top = ask(
        storage,
        model,
        tmp_path,
        [
            ("encode", {**events, "item_ids": [[item_id(i) for i in items]]}),
            ("encode_indices", {**events, "item_indices": [items]}),
            ("item_vectors", {"item_indices": [*range(NUM_ITEMS + 2), -1]}),
            ("top_k_indices", {**events, "item_indices": [items], "k": NUM_ITEMS}),
        ],
    )

    run = read_run(storage, model)
    scorer = run_scorer(storage, run, pairs_at_once=1000, num_threads=1)
    history = HistoryRows(
        items=Ragged.from_lengths(np.array(items, np.int32), np.array([4])),
        timestamps=np.array(times),
        first_timestamps=np.array(times[:1]),
        as_of=np.array([now]),
    )
    assert by_id["states"][0] == pytest.approx(scorer.states(history)[0], abs=1e-5)
    assert by_index["states"] == by_id["states"]
    known = np.array(vectors["known"], bool)
    assert known.tolist() == [False] + [True] * 56 + [False] * 6  # Items 57 to 60 were never trained on.
    products = np.array(vectors["vectors"])[1:57] @ np.array(by_id["states"][0])
    assert products == pytest.approx(in_process(storage, model, items, times, now)[:56], abs=1e-4)
    assert not np.array(vectors["vectors"])[~known].any()
    expected_items, expected_scores = scorer.best_of_catalogue(history, NUM_ITEMS, exclude_own_items=True)
    assert top["item_indices"] == expected_items.tolist()
    assert top["scores"][0] == pytest.approx(expected_scores[0], abs=1e-5)
    assert "they have no vector" in " ".join(card["limits"])
    assert "states float32" in card["signatures"]["encode"]
