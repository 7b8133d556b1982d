"""Settings of recommendations and export. Free of Spark and TensorFlow."""

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from seqrec.core.config import added, added_section, not_in_recipe, speed_only
from seqrec.core.secrets import refuse_secret
from seqrec.recommendation.rules_config import RulesConfig


@dataclass(frozen=True, kw_only=True)
class RecommendationConfig:
    """The `recommendation` section: the top k of a run for users."""

    k: int = 10  # Items recommended to each user.
    # The items that are scored. The whole catalogue needs no candidates; for a ranking model only if it is small.
    over: Literal["candidates", "catalogue"] = "candidates"
    # With validation or test lists are also measured; a user may then have several lists, which no column separates.
    histories: Literal["latest", "validation", "test"] = "latest"
    users: tuple[str, ...] | None = not_in_recipe(None)  # Only these users; null is all.
    users_file: str | None = not_in_recipe(None)  # Only the users in this text file, one id per line.
    # Only users whose history has changed since these recommendations, made for everyone: their name, such as that of a
    # run or ranker. The lists are those of a full run, and their own name ends in "-changed".
    changed_since: str | None = added(None)
    # File of histories to use instead of users: JSON lines or Parquet with user_id, item_ids (list of strings) and
    # timestamps (list of seconds).
    histories_file: str | None = not_in_recipe(None)
    # Print this one person's last items and recommendations; nothing is written but the page, if `page` is set.
    user: str | None = not_in_recipe(None)
    # With `user`: also write an HTML page, pages/people/RUN/USER.html in the workdir: the list with scores and what
    # found each item, and the history with times and titles.
    page: bool = not_in_recipe(False)
    exclude_own_items: bool = True  # Never recommend an item of the user's history.
    # Recommend as of this UTC day or time (ISO); null is the time of the newest event, also of a histories file. A
    # user's later events are ignored, and their items may be recommended. Candidates, popularity and the run itself
    # still know all later events.
    as_of: str | None = None
    ranker: str | None = added(None)  # Order candidates by this ranker (job rank), and not by a run; null: by a run.
    rules: RulesConfig = added_section(RulesConfig)
    candidate_weight: float = 1.5  # ln(place among the candidates) counts this much against the model's logit.
    max_catalogue: int = speed_only(200_000)  # A larger catalogue is not scored whole by a ranking model.
    batch_size: int = 512  # Users read at once.
    pairs_at_once: int = 400_000  # Events times candidates scored in one call: memory is about 400 bytes each.
    # TensorFlow threads of each Python worker; Spark already runs one worker per core.
    tensorflow_threads: int = speed_only(1)

    def __post_init__(self) -> None:
        for name in ("k", "max_catalogue", "batch_size", "pairs_at_once", "tensorflow_threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1.")
        if self.batch_size > 4096:
            raise ValueError(f"batch_size is {self.batch_size}: give at most 4096.")
        if self.candidate_weight < 0.0:
            raise ValueError(f"candidate_weight is {self.candidate_weight}: give 0 or more.")
        if self.ranker is not None and self.over == "catalogue":
            raise ValueError(
                "over is 'catalogue', but ranker is set: a ranker orders candidates. Leave one of them out."
            )
        limiting = ("users", "users_file", "histories_file", "user", "changed_since")
        chosen = [name for name in limiting if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} are both set: give one of them.")
        if self.page and self.user is None:
            raise ValueError("page is true, but user is not set: give recommendation.user, whose page it is.")
        for name in ("histories_file", "user", "changed_since"):
            if getattr(self, name) is not None and self.histories != "latest":
                raise ValueError(f"histories is {self.histories!r}, but {name} is set: leave one of them out.")
        if self.as_of is not None and self.changed_since is not None:
            raise ValueError(f"as_of is '{self.as_of}', but changed_since is set: leave one of them out.")
        if self.as_of is not None:
            seconds_of(self.as_of)

    @property
    def as_of_seconds(self) -> int | None:
        return None if self.as_of is None else seconds_of(self.as_of)


def seconds_of(text: str) -> int:
    """Seconds since 1970 of an ISO day or time; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"as_of is '{text}': give a day as YYYY-MM-DD or a time as YYYY-MM-DDTHH:MM:SS.") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """The `export` section: a run as a SavedModel."""

    exclude_own_items: bool = True  # The top k leaves out the items of the given history.
    max_k: int = 100  # The longest top-k list that the model can be asked for.
    block_size: int = 1024  # Items scored at a time in the top k: speed and memory only.
    mlflow_tracking_uri: str | None = not_in_recipe(None)  # Also log the model there, such as sqlite:///mlflow.db.
    # Name of the MLflow experiment; on Databricks a path, such as /Users/you@example.com/seqrec.
    mlflow_experiment: str = not_in_recipe("seqrec")
    # Register the model under this name, such as catalog.schema.seqrec; null does not register it.
    mlflow_model: str | None = not_in_recipe(None)

    def __post_init__(self) -> None:
        for name in ("max_k", "block_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1.")
        refuse_secret("mlflow_tracking_uri", self.mlflow_tracking_uri)
        if self.mlflow_model and not self.mlflow_tracking_uri:
            raise ValueError(f"mlflow_model is {self.mlflow_model!r}: set mlflow_tracking_uri too, such as databricks.")
