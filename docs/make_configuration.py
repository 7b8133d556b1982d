"""Writes docs/configuration.md from the settings' dataclasses: every key, its type, default and meaning.

python docs/make_configuration.py
"""

from collections.abc import Sequence
from pathlib import Path

from seqrec.core.metrics import CATALOGUE, METRICS, Reads, metrics_that_read, validation_metrics
from seqrec.models.registry import MODELS, options_of
from seqrec.pipeline.keys import Key, describe_keys, keys_of, sections
from seqrec.pipeline.stages import STAGES
from seqrec.training.objectives import registry as objectives
from seqrec.tuning.search_space import ParameterConfig

PAGE = Path(__file__).parent / "configuration.md"
_INTRODUCTION = """\
# Every key of the configuration

One YAML holds a whole run: the keys of the first table stand at its top, the others in a section of the name given.
Every key has a default; `--set section.key=value` wins over the file, and the value is read as YAML. An unknown or
mistyped key is an error that names the nearest one. `./spark-submit.sh JOB --help` shows the keys that a job
reads, but those of `model.options`, `training.loss.options` and the entries of `tuning.space`, which are only here.

Each section may also hold a `spark:` block: settings of Spark for the stage of that section.

```yaml
preparation:
  min_interactions: 5
  spark:
    spark.sql.shuffle.partitions: 64
```

This page is made by `python docs/make_configuration.py` from the dataclasses beside the code.
"""

_METRICS = """\
### Metrics

The metrics that `training.metric`, evaluations and reports name; `k` stands for a cutoff, as in `ndcg@10`. The last
column says which are also computed after each epoch of training, against the stored negatives. A name in brackets is
that of the same metric among the whole catalogue, as an evaluation with `protocol: full` has it; these are computed
after each epoch if `training.metric` is one of them.
"""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    jobs: dict[str, list[str]] = {}
    for job, stage in STAGES.items():
        jobs.setdefault(stage.section, []).append(f"`{job}`")
    parts = [_INTRODUCTION, "## At the top of the file", "", *_table(describe_keys()), ""]
    for section in sections():
        parts += [f"## {section}", ""]
        if section in jobs:
            parts += [f"Stage: {', '.join(jobs[section])}.", ""]
        parts += [*_table(describe_keys(section)), ""]
        if section == "model":
            for name in sorted(MODELS):
                parts += [f"### model.options.{name}", "", *_table(keys_of(options_of(name))), ""]
        if section == "evaluation":
            parts += [_METRICS, *_table_of_metrics(), ""]
        if section == "training":
            for name in sorted(objectives.OBJECTIVES):
                if own := keys_of(objectives.options_of(name)):
                    parts += [f"### training.loss.options.{name}", "", *_table(own), ""]
        if section == "tuning":
            parts += ["### An entry of tuning.space", "", *_table(keys_of(ParameterConfig)), ""]
    return "\n".join(parts).rstrip() + "\n"


def _table(keys: Sequence[Key]) -> list[str]:
    if not keys:
        return ["No keys of its own."]
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key in keys:
        rows.append(f"| `{key.name}` | {_cell(key.type)} | {_cell(key.default)} | {_text(key.meaning)} |")
    return rows


def _table_of_metrics() -> list[str]:
    rows = ["| metric | meaning | after each epoch |", "|---|---|---|"]
    for metric in METRICS.values():
        after_epoch = "yes" if metric in validation_metrics() else ""
        after_epoch += f" (`{CATALOGUE}{metric.at('k')}`)" if metric in metrics_that_read(Reads.RANKS) else ""
        rows.append(f"| `{metric.at('k')}` | {_text(metric.meaning)} | {after_epoch} |")
    return rows


def _cell(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text else ""


def _text(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    main()
