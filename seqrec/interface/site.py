"""The index page of a workdir: health of data, runs, evaluations, tuning, lists, pages of people, and what is stale.

    python -m seqrec.interface.site WORKDIR        (or: make site WORKDIR=work)

It reads manifests and evaluations only, so it takes a moment whatever the size of the data.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import quote

from seqrec.core.errors import SeqrecError
from seqrec.core.manifest import Dataset, Manifest
from seqrec.core.pages.page import foreign, link, page, section, table, text
from seqrec.core.storage import Storage
from seqrec.evaluation.report.report import report_path
from seqrec.evaluation.results import KINDS, MODEL, is_current, read_evaluation
from seqrec.interface.running import errors_in_one_line
from seqrec.interface.settings import Config, configure
from seqrec.recommendation.lists.person_page import FOLDER as PEOPLE

PAGE = "index.html"
_SHOWN = ("group_auc", "ndcg@10")
_LISTS = ("candidates", "rankers", "recommendations", "similar_items")
_MOST_PEOPLE = 500  # Pages of people that are linked.


@dataclass(frozen=True)
class _Workdir:
    storage: Storage
    manifests: dict[str, dict[str, Manifest]]  # Folder -> name -> what is published there.

    @classmethod
    def read(cls, storage: Storage) -> "_Workdir":
        manifests: dict[str, dict[str, Manifest]] = {}
        for folder in ("ingested", "prepared", "runs", "tuning", *_LISTS):
            names = sorted(storage.list_folders(folder)) if storage.exists(folder) else []
            found = {name: Dataset(storage, folder, name).manifest() for name in names}
            manifests[folder] = {name: each for name, each in found.items() if each is not None}
        return cls(storage, manifests)

    def why_stale(self, manifest: Manifest) -> str:
        """What has changed since the dataset was made, for the column `state`; empty if nothing has."""
        current = {
            "reviews": {
                each.tables["reviews"].content
                for each in self.manifests["ingested"].values()
                if "reviews" in each.tables
            },
            "prepared": {each.content for each in self.manifests["prepared"].values()},
            "run": {each.content for each in self.manifests["runs"].values()},
            "candidates": {each.content + each.recipe for each in self.manifests["candidates"].values()},
        }
        changed = [name for name, known in current.items() if manifest.inputs.get(name, None) not in (None, *known)]
        return f"made from other {' and '.join(changed)} than are here now" if changed else ""


def write_site(config: Config) -> str:
    """Writes `index.html` in the workdir, with links to all pages and reports below it.

    Returns: the address of the page.

    Raises:
        SeqrecError: the workdir cannot be read or written.
    """
    with errors_in_one_line(config):
        storage = Storage(config.run.workdir)
        storage.write_bytes(PAGE, site(storage).encode())
        return storage.uri(PAGE)


def site(storage: Storage) -> str:
    """The page as HTML."""
    workdir = _Workdir.read(storage)
    parts = [
        ("Data", _data(workdir)),
        ("Runs", _runs(workdir)),
        ("Evaluations", _evaluations(workdir)),
        ("Tuning", _datasets(workdir, ("tuning",))),
        ("Candidates and lists", _datasets(workdir, _LISTS)),
        ("Pages of people", _people(storage)),
    ]
    body = "".join(section(title, content) for title, content in parts if content)
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M")
    return page(
        f"What is in {storage.root.rstrip('/').rpartition('/')[2] or storage.root}",
        body or "<p>Nothing yet. Run the job <code>pipeline</code> first.</p>",
        summary=f"{storage.root}, as of {now} UTC. What is stale was made from other data or weights.",
        footer="Written by make site; run it again after new results.",
    )


def _data(workdir: _Workdir) -> str:
    rows = []
    for name, ingested in workdir.manifests["ingested"].items():
        counts = [ingested.counts.get(each, 0) for each in ("reviews", "items", "rejects")]
        prepared = workdir.manifests["prepared"].get(name)
        if prepared is None:
            rows.append([foreign(name), *(f"{each:,}" for each in counts), "", "", "not prepared yet"])
            continue
        split, health = prepared.counts.get("split", {}), f"prepared/{name}/{prepared.id}/health"
        links = f"{_file(f'{health}.png', 'picture')}, {_file(f'{health}.json', 'figures')}"
        warnings = "".join(f"<br><small>{foreign(each)}</small>" for each in prepared.details.get("warnings", ()))
        rows.append(
            [
                foreign(name),
                *(f"{each:,}" for each in (*counts, split.get("users", 0), split.get("training_targets", 0))),
                f"{_state(workdir.why_stale(prepared))} {links}{warnings}",
            ]
        )
    head = ["data", "reviews", "items", "rejected", "users", "training targets", "health"]
    return table(head, rows, classes=["w", "n", "n", "n", "n", "n", "w"]) if rows else ""


def _runs(workdir: _Workdir) -> str:
    rows = []
    for name, run in workdir.manifests["runs"].items():
        best, metric = run.details.get("best") or {}, run.details.get("metric", "")
        value = f"{best[metric]:.4f}" if metric in best else ""
        rows.append(
            [
                foreign(name),
                foreign(run.details["model"]["name"]),
                foreign(str(run.details.get("prepared", ""))),
                text(str(run.details.get("epochs", ""))),
                f"{value} <small>{foreign(str(metric))}</small>",
                text(run.created[:10]),
                _state(workdir.why_stale(run)),
            ]
        )
    head = ["run", "model", "data", "epochs", "best on validation", "made", "state"]
    return table(head, rows, classes=["w", "t", "w", "n", "n", "t", "w"]) if rows else ""


def _evaluations(workdir: _Workdir) -> str:
    rows = []
    for name, run in workdir.manifests["runs"].items():
        for split, protocol in KINDS:
            evaluation = read_evaluation(workdir.storage, name, split, protocol)
            if evaluation is None:
                continue
            model = next(each for each in evaluation.results if each.kind == MODEL)
            stale = workdir.why_stale(run) or (
                "" if is_current(workdir.storage, evaluation) else "made of older weights"
            )
            has_report = not stale and workdir.storage.exists(report_path(name))
            rows.append(
                [
                    foreign(name),
                    text(f"{split}, {protocol}"),
                    f"{evaluation.setup['num_users']:,}",
                    *(f"{model.metrics[each]:.4f}" if each in model.metrics else "" for each in _SHOWN),
                    _state(stale) + (f" {_file(report_path(name), 'report')}" if has_report else ""),
                ]
            )
    head = ["run", "split, protocol", "users", *_SHOWN, "state"]
    return table(head, rows, classes=["w", "t", "n", "n", "n", "w"]) if rows else ""


def _datasets(workdir: _Workdir, folders: Iterable[str]) -> str:
    rows = []
    for folder in folders:
        for name, each in workdir.manifests[folder].items():
            counts = ", ".join(
                f"{value:,} {key.replace('_', ' ')}"
                for key, value in list(each.counts.items())[:4]
                if isinstance(value, int) and value
            )
            made = text(each.created[:10])
            rows.append([text(each.stage), foreign(name), text(counts), made, _state(workdir.why_stale(each))])
    return table(["job", "name", "counts", "made", "state"], rows, classes=["t", "w", "w", "t", "w"]) if rows else ""


def _people(storage: Storage) -> str:
    files = storage.list_files(PEOPLE) if storage.exists(PEOPLE) else []
    paths = sorted(file.path for file in files if file.path.endswith(".html"))
    rows = []
    for path in paths[:_MOST_PEOPLE]:
        run, name = path.split("/")[-2:]
        rows.append([_file(path, name.removesuffix(".html")), foreign(run)])
    left = len(paths) - len(rows)
    more = f"<p>{left:,} more lie in {text(PEOPLE)}.</p>" if left else ""
    return table(["person", "recommended by"], rows, classes=["w", "w"]) + more if rows else ""


def _state(stale: str) -> str:
    return f'<span class="stale">stale</span>: {text(stale)}' if stale else "current"


def _file(path: str, shown: str) -> str:
    return link(quote(path), shown)


def main(argv: list[str]) -> int:
    """Writes the page of the workdir that the command line names; returns the exit status."""
    try:
        print(write_site(configure(workdir=argv[0] if argv else "work")))
    except SeqrecError as error:
        print(f"seqrec site: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
