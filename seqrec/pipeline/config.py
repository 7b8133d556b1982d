"""The configuration of a run, which one YAML file describes in sections. Free of Spark and TensorFlow."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seqrec.core.config import apply_override, load_section, read_yaml
from seqrec.core.errors import ConfigError
from seqrec.core.secrets import refuse_secret
from seqrec.evaluation.config import EvaluationConfig
from seqrec.evaluation.drift.config import DriftConfig
from seqrec.feed.config import FeedConfig
from seqrec.ingestion.config import DownloadConfig, IngestionConfig, SourceConfig, SynthesisConfig
from seqrec.models.config import ModelConfig
from seqrec.neighbours.config import CandidatesConfig
from seqrec.preparation.config import PreparationConfig
from seqrec.preparation.features.config import FeaturesConfig
from seqrec.recommendation.config import ExportConfig, RecommendationConfig
from seqrec.recommendation.similar_items.config import SimilarItemsConfig
from seqrec.reranking.config import RankerConfig
from seqrec.scoring.index.config import IndexConfig
from seqrec.training.config import TrainingConfig
from seqrec.tuning.config import TuningConfig

SPARK = "spark"  # Name of the block of Spark settings that each section may hold for its stage.
_PATTERN = re.compile(r"[\[\]{}*?\\]")  # Spark takes these characters of a path for a pattern.
_ONE_SLASH = re.compile(r"(?!dbfs:/|file:/)([a-z][a-z0-9+.-]+):(?!//)")  # A folder of that odd name.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """The `pipeline` section of a run."""

    models: tuple[str, ...] = ("a2svd",)  # Models that are trained and evaluated one after the other, one run each.
    one_process: bool = False  # Run all stages in this process, instead of each by its own spark-submit.

    def __post_init__(self) -> None:
        if not self.models or len(set(self.models)) != len(self.models):
            raise ValueError(f"models is {list(self.models)}: give one or more different names.")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything about one run, from raw files to numbers."""

    workdir: str = "work"  # Folder or URI that everything is written to.
    name: str = "demo"  # Name of the raw, ingested and prepared data.
    seed: int = 1  # Key of all random draws.
    force: bool = False  # Run a stage again even if nothing that decides its result has changed.
    source: SourceConfig = field(default_factory=SourceConfig)
    download: DownloadConfig = field(default_factory=DownloadConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    ingestion: IngestionConfig = field(default_factory=IngestionConfig)
    preparation: PreparationConfig = field(default_factory=PreparationConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    feed: FeedConfig = field(default_factory=FeedConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
    index: IndexConfig = field(default_factory=IndexConfig)
    candidates: CandidatesConfig = field(default_factory=CandidatesConfig)
    ranker: RankerConfig = field(default_factory=RankerConfig)
    recommendation: RecommendationConfig = field(default_factory=RecommendationConfig)
    similar_items: SimilarItemsConfig = field(default_factory=SimilarItemsConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    drift: DriftConfig = field(default_factory=DriftConfig)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)

    def __post_init__(self) -> None:
        folders = [
            ("name", self.name),
            ("training.run", self.training.run),
            ("training.start_from", self.training.start_from),
            ("tuning.study", self.tuning.study),
            ("preparation.vocabulary", self.preparation.vocabulary),
            ("evaluation.compare_to", self.evaluation.compare_to),
            ("ranker.name", self.ranker.name),
            ("recommendation.ranker", self.recommendation.ranker),
            ("drift.reference", self.drift.reference),
            ("recommendation.changed_since", self.recommendation.changed_since),
            *(("ranker.runs", run) for run in self.ranker.runs),
            *(("evaluation.report_runs", run) for run in self.evaluation.report_runs),
        ]
        for key, name in folders:
            if name is not None and not _NAME.fullmatch(name):
                raise ValueError(f"{key} is {name!r}: use letters, digits, '.', '_' and '-'; it names folders.")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}: give 0 or more.")
        if not self.workdir:
            raise ValueError("workdir is empty: give a folder or a URI.")
        refuse_secret("workdir", self.workdir)
        if match := _ONE_SLASH.match(self.workdir):
            raise ValueError(f"workdir is {self.workdir}: write {match[1]}://, or a folder's absolute path.")
        place = self.workdir if ":/" in self.workdir else str(Path(self.workdir).expanduser().absolute())
        if found := sorted(set(_PATTERN.findall(place))):
            raise ValueError(f"workdir is {place}: Spark takes {' '.join(found)} for a pattern. Choose another folder.")

    @property
    def run(self) -> str:
        """Name of the trained run: `training.run`, or else the names of the data and of the model."""
        return self.training.run or f"{self.name}-{self.model.name}"

    @property
    def study(self) -> str:
        """Name of the search: `tuning.study`, or else the names of the data and of the model."""
        return self.tuning.study or f"{self.name}-{self.model.name}"


@dataclass(frozen=True, kw_only=True)
class LoadedConfig:
    """A configuration as it was read, with the Spark settings apart from the rest."""

    run: RunConfig
    spark: dict[str, dict[str, str]]  # Section -> Spark settings of its stage.

    def with_model(self, name: str | None) -> "LoadedConfig":
        """These settings for another model; the same ones for None."""
        if name is None:
            return self
        return replace(self, run=replace(self.run, model=replace(self.run.model, name=name)))


def folder_of(name: str) -> Path:
    """The folder `jobs` or `conf`: beside the package in a checkout, inside it in an installed wheel."""
    packaged = Path(__file__).parents[1] / name
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / name


def _found(path: str) -> str:
    """The path of a config; without a checkout, `conf/demo.yaml` is the one of the installed package."""
    given = Path(path)
    packaged = folder_of("conf") / given.name
    return str(packaged) if given.parent == Path("conf") and not given.exists() and packaged.exists() else path


def load_run_config(
    path: str | None,
    overrides: Sequence[str] = (),
    *,
    values: Mapping[str, Any] | None = None,
    values_place: str = "values",
) -> LoadedConfig:
    """Reads a YAML file and the `--set` overrides; without a path, the defaults and the overrides.

    Args:
        values: keys that win over those of the file, sections as mappings.
        values_place: what an error names as the place of `values`.

    Raises:
        ConfigError: one line with the file (or `--set`), the key, the value and what was expected.
    """
    if path == "":
        raise ConfigError("--config is empty: give a YAML, or leave it out for the defaults.")
    content = read_yaml(_found(path)) if path else {}
    origins: dict[str, str] = {}
    _merge(content, values or {}, origins, values_place)
    for override in overrides:
        apply_override(content, override, origins)
    _write_out_features(content)
    where = path or ("--set" if values is None else values_place)
    spark = {
        section: _spark_settings(keys.pop(SPARK), _spark_place(section, where, origins))
        for section, keys in content.items()
        if isinstance(keys, dict) and SPARK in keys
    }
    return LoadedConfig(run=load_section(RunConfig, content, where, origins), spark=spark)


def _merge(
    content: dict[str, Any], values: Mapping[str, Any], origins: dict[str, str], place: str, at: str = ""
) -> None:
    """Puts `values` into `content`, key by key where both hold a mapping; `origins` notes where each came from."""
    for key, value in values.items():
        name = f"{at}{key}"
        if isinstance(value, Mapping) and isinstance(content.get(key, {}), dict):
            _merge(content.setdefault(key, {}), value, origins, place, f"{name}.")
        else:
            content[key] = value
            origins[name] = place


def _write_out_features(values: dict[str, Any]) -> None:
    """Replaces the short forms `features: amazon` and `features: [...]` by the section that they stand for."""
    given = values.get("features")
    if isinstance(given, str):
        values["features"] = {"preset": given}
    elif isinstance(given, list):
        values["features"] = {"declared": given}


def _spark_place(section: str, where: str, origins: dict[str, str]) -> str:
    """The place that an error in a section's Spark settings names: the file, unless `--set` gave any of them."""
    name = f"{section}.{SPARK}"
    given = [place for key, place in origins.items() if f"{key}.".startswith(f"{name}.")]
    return f"{given[0] if given else where}: {name}"


def _spark_settings(block: Any, where: str) -> dict[str, str]:
    if not isinstance(block, dict):
        raise ConfigError(f"{where}: expected Spark settings, such as spark.executor.memory: 8g, got {block!r}.")
    settings = {}
    for key, value in _flattened(block):
        # `--set preparation.spark.executor.memory=8g` and a YAML's `spark.executor.memory: 8g` are the same setting.
        key = key if key.startswith("spark.") else f"spark.{key}"
        if not isinstance(value, str | int | float):
            raise ConfigError(f"{where}: {key}: expected text, a number or true/false, got {value!r}.")
        settings[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return settings


def _flattened(block: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Pairs of a dotted key and its value: `--set` nests what a YAML file writes as one key with dots."""
    pairs: list[tuple[str, Any]] = []
    for key, value in block.items():
        pairs += _flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return pairs
