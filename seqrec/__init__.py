"""Sequence-aware recommenders: from a log of who took what, and when, to trained models, metrics and lists.

The functions of this package run the same stages as the jobs, in this process, and return pandas frames:

    import seqrec

    config = seqrec.configure("conf/demo.yaml", workdir="work", training={"num_workers": 1})
    seqrec.ingest(config)
    seqrec.prepare(config)
    seqrec.train(config)
    metrics = seqrec.evaluate(config)
    lists = seqrec.recommend(config, users="A00000005EC3EC")

`docs/python.md` shows them all. Each is imported when it is first used: `import seqrec` loads no other package.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqrec.interface.reading import explain, history, read_table, results, write_page
    from seqrec.interface.settings import Config, configure
    from seqrec.interface.site import write_site
    from seqrec.interface.stages import evaluate, ingest, prepare, recommend, run_job, train

__all__ = [
    "Config",
    "configure",
    "evaluate",
    "explain",
    "history",
    "ingest",
    "prepare",
    "read_table",
    "recommend",
    "results",
    "run_job",
    "train",
    "write_page",
    "write_site",
]
_MODULES = {
    "seqrec.interface.settings": ("Config", "configure"),
    "seqrec.interface.stages": ("evaluate", "ingest", "prepare", "recommend", "run_job", "train"),
    "seqrec.interface.reading": ("explain", "history", "read_table", "results", "write_page"),
    "seqrec.interface.site": ("write_site",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'seqrec' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
