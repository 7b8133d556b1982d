"""Libraries for an approximate index at size: build time, bytes on disk, resident memory, recall, users a second.

PYTHONPATH=. python benchmarks/index_at_size.py --items 1000000 --folder /tmp/index_size \
    --libraries exact faiss-ivf faiss-hnsw hnswlib usearch voyager

Vectors of 64 in clusters of 500, with log-normal norms that fall with popularity; a state is the mean of three vectors
of one cluster, with noise. Each library answers from files in a process of its own, one thread;
whatever it finds is scored again with the exact vectors, mapped from their file. Resident memory is that of the process
after the search: all of it, and the part that is not mapped from a file. Needs the libraries that it is asked for.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402 - after the number of threads is set.
import psutil  # noqa: E402

from seqrec.scoring.index.exact import best_of_all, best_of_some  # noqa: E402

WIDTH, K = 64, 100
_BLOCK = 250_000
_ITEMS_IN_A_CLUSTER = 500
Find = Callable[[np.ndarray, int], np.ndarray]  # (states, effort) -> items int32 [B, n], 0 for none.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--states", type=int, default=1_000)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--libraries", nargs="+", default=["exact", "faiss-ivf"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--step", help="what a process of its own does: data, build or search")
    chosen = parser.parse_args()
    folder = Path(chosen.folder)
    folder.mkdir(parents=True, exist_ok=True)
    if chosen.step:
        {"data": data, "build": build, "search": search}[chosen.step](chosen, folder)
        return
    run(chosen, "data", "exact")
    print(
        "| library | items | build, s | MiB on disk | effort | resident MiB (own) | recall@100 | users/s/core | load |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for library in chosen.libraries:
        built = run(chosen, "build", library)
        for row in run(chosen, "search", library)["rows"]:
            print(
                f"| {library} | {chosen.items:,} | {built['seconds']:.0f} ({built['cpu']:.0f} of processor) "
                f"| {built['bytes'] / 2**20:,.0f} | {row['effort']} | {row['rss']:,.0f} ({row['own']:,.0f}) "
                f"| {row['recall']:.3f} | {row['users']:,.0f} | {os.getloadavg()[0]:.0f} |",
                flush=True,
            )


def run(chosen: argparse.Namespace, step: str, library: str) -> Any:
    command = [sys.executable, __file__, "--folder", chosen.folder, "--items", str(chosen.items), "--step", step]
    command += ["--states", str(chosen.states), "--threads", str(chosen.threads), "--libraries", library]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def data(chosen: argparse.Namespace, folder: Path) -> None:
    """Vectors, states, and what an exact search finds for them, unless they are there."""
    if not (folder / "best.npy").exists() or not (folder / "exact_speed.json").exists():
        vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (chosen.items, WIDTH))
        random = np.random.default_rng(1)
        num_clusters = max(1, chosen.items // _ITEMS_IN_A_CLUSTER)
        centres = random.normal(size=(num_clusters, WIDTH)).astype(np.float32)
        for start in range(0, chosen.items, _BLOCK):
            size = min(_BLOCK, chosen.items - start)
            block = centres[(start + np.arange(size)) % num_clusters]
            block = block + 0.7 * random.normal(size=(size, WIDTH)).astype(np.float32)
            norms = np.exp(0.25 * random.normal(size=(size, 1))) * (1 + start) ** -0.03
            vectors[start : start + size] = block * norms.astype(np.float32)
        first = random.integers(0, num_clusters, (chosen.states, 1))
        steps = random.integers(0, chosen.items // num_clusters, (chosen.states, 3))
        picked = vectors[np.minimum(first + num_clusters * steps, chosen.items - 1)].mean(axis=1)
        states = picked + 0.3 * random.normal(size=picked.shape)
        np.save(folder / "states.npy", states.astype(np.float32))
        states = np.load(folder / "states.npy")
        started = time.process_time()
        best, _ = best_of_all(states, vectors, K)
        (folder / "exact_speed.json").write_text(json.dumps({"users": len(states) / (time.process_time() - started)}))
        np.save(folder / "best.npy", best)
    print(json.dumps({}))


def build(chosen: argparse.Namespace, folder: Path) -> None:
    library = chosen.libraries[0]
    told = folder / f"{library}.json"
    if not told.exists():
        wall, processor = time.perf_counter(), time.process_time()
        paths = BUILD[library](np.load(folder / "vectors.npy", mmap_mode="r"), folder, chosen.threads)
        seconds, cpu = time.perf_counter() - wall, time.process_time() - processor
        size = sum(path.stat().st_size for path in paths)
        told.write_text(json.dumps({"seconds": seconds, "cpu": cpu, "bytes": size}))
    print(told.read_text())


def search(chosen: argparse.Namespace, folder: Path) -> None:
    library = chosen.libraries[0]
    vectors, states = np.load(folder / "vectors.npy", mmap_mode="r"), np.load(folder / "states.npy")
    best = np.load(folder / "best.npy")
    find, efforts = OPEN[library](folder)
    rows = []
    for effort in efforts:
        started = time.process_time()
        found, _ = best_of_some(states, vectors, find(states, effort), K)
        users = len(states) / (time.process_time() - started)
        hits = sum(len(np.intersect1d(one, other)) for one, other in zip(found, best, strict=True))
        memory = psutil.Process().memory_info()
        rss, own = memory.rss / 2**20, (memory.rss - memory.shared) / 2**20
        if library == "exact":
            users = json.loads((folder / "exact_speed.json").read_text())["users"]
        rows.append({"effort": effort, "recall": hits / best.size, "users": users, "rss": rss, "own": own})
        if hits / best.size > 0.99:
            break
    print(json.dumps({"rows": rows}))


def build_exact(vectors: np.ndarray, folder: Path, threads: int) -> list[Path]:
    return [folder / "vectors.npy"]


def open_exact(folder: Path) -> tuple[Find, list[int]]:
    best = np.load(folder / "best.npy")
    return lambda states, _: best, [K]


def build_faiss(kind: str) -> Callable[[np.ndarray, Path, int], list[Path]]:
    def build(vectors: np.ndarray, folder: Path, threads: int) -> list[Path]:
        import faiss

        faiss.omp_set_num_threads(threads)
        num_lists = int(2 ** round(np.log2(4 * np.sqrt(len(vectors)))))
        names = {"ivf": f"IVF{num_lists}_HNSW32,SQ8", "pq": f"IVF{num_lists}_HNSW32,PQ32x4fs", "hnsw": "HNSW32,SQ8"}
        index = faiss.index_factory(WIDTH, names[kind], faiss.METRIC_INNER_PRODUCT)
        rows = np.sort(np.random.default_rng(2).choice(len(vectors), min(len(vectors), 25 * num_lists), replace=False))
        if kind != "hnsw":
            index.cp.niter, index.cp.max_points_per_centroid = 5, 40
        index.train(np.ascontiguousarray(vectors[rows]))
        for start in range(0, len(vectors), _BLOCK):
            index.add(np.ascontiguousarray(vectors[start : start + _BLOCK]))
        path = folder / f"faiss-{kind}.index"
        faiss.write_index(index, str(path))
        return [path]

    return build


def open_faiss(kind: str) -> Callable[[Path], tuple[Find, list[int]]]:
    def open_index(folder: Path) -> tuple[Find, list[int]]:
        import faiss

        faiss.omp_set_num_threads(1)
        index = faiss.read_index(str(folder / f"faiss-{kind}.index"), faiss.IO_FLAG_MMAP_IFC)

        def find(states: np.ndarray, effort: int) -> np.ndarray:
            if kind == "hnsw":
                given = faiss.SearchParametersHNSW(efSearch=effort)
            else:
                quantizer = faiss.SearchParametersHNSW(efSearch=2 * effort)
                given = faiss.SearchParametersIVF(nprobe=effort, quantizer_params=quantizer)
            return (index.search(states, 3 * K, params=given)[1] + 1).astype(np.int32)

        return find, [100, 200, 400, 800] if kind == "hnsw" else [4, 8, 16, 32, 64, 128, 256, 512]

    return open_index


def build_hnswlib(vectors: np.ndarray, folder: Path, threads: int) -> list[Path]:
    import hnswlib

    index = hnswlib.Index("ip", WIDTH)
    index.init_index(len(vectors), ef_construction=100, M=16)
    index.set_num_threads(threads)
    for start in range(0, len(vectors), _BLOCK):
        index.add_items(vectors[start : start + _BLOCK])
    index.save_index(str(folder / "hnswlib.index"))
    return [folder / "hnswlib.index"]


def open_hnswlib(folder: Path) -> tuple[Find, list[int]]:
    import hnswlib

    index = hnswlib.Index("ip", WIDTH)
    index.load_index(str(folder / "hnswlib.index"))
    index.set_num_threads(1)

    def find(states: np.ndarray, effort: int) -> np.ndarray:
        index.set_ef(effort)
        return (index.knn_query(states, K)[0] + 1).astype(np.int32)

    return find, [100, 200, 400, 800]


def build_usearch(vectors: np.ndarray, folder: Path, threads: int) -> list[Path]:
    from usearch.index import Index

    index = Index(ndim=WIDTH, metric="ip", dtype="f16", connectivity=16, expansion_add=100)
    for start in range(0, len(vectors), _BLOCK):
        block = np.ascontiguousarray(vectors[start : start + _BLOCK])
        index.add(np.arange(start + 1, start + 1 + len(block), dtype=np.uint64), block, threads=threads)
    index.save(str(folder / "usearch.index"))
    return [folder / "usearch.index"]


def open_usearch(folder: Path) -> tuple[Find, list[int]]:
    from usearch.index import Index

    index = Index(ndim=WIDTH, metric="ip", dtype="f16", connectivity=16)
    index.view(str(folder / "usearch.index"))

    def find(states: np.ndarray, effort: int) -> np.ndarray:
        index.expansion_search = effort
        return index.search(states, 3 * K if effort >= 3 * K else K, threads=1).keys.astype(np.int32)

    return find, [100, 200, 400, 800]


def build_voyager(vectors: np.ndarray, folder: Path, threads: int) -> list[Path]:
    from voyager import Index, Space, StorageDataType

    index = Index(Space.InnerProduct, WIDTH, M=16, ef_construction=100, storage_data_type=StorageDataType.Float32)
    for start in range(0, len(vectors), _BLOCK):
        index.add_items(np.ascontiguousarray(vectors[start : start + _BLOCK]), num_threads=threads)
    index.save(str(folder / "voyager.index"))
    return [folder / "voyager.index"]


def open_voyager(folder: Path) -> tuple[Find, list[int]]:
    from voyager import Index

    index = Index.load(str(folder / "voyager.index"))

    def find(states: np.ndarray, effort: int) -> np.ndarray:
        return (index.query(states, K, num_threads=1, query_ef=effort)[0] + 1).astype(np.int32)

    return find, [100, 200, 400, 800]


FAISS = {f"faiss-{kind}": kind for kind in ("ivf", "pq", "hnsw")}
BUILD = {
    "exact": build_exact,
    "hnswlib": build_hnswlib,
    "usearch": build_usearch,
    "voyager": build_voyager,
    **{name: build_faiss(kind) for name, kind in FAISS.items()},
}
OPEN = {
    "exact": open_exact,
    "hnswlib": open_hnswlib,
    "usearch": open_usearch,
    "voyager": open_voyager,
    **{name: open_faiss(kind) for name, kind in FAISS.items()},
}


if __name__ == "__main__":
    main()
