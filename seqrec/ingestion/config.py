"""Settings of `download`, `synthesize` and `ingest`: where reviews come from, and how they are read."""

from dataclasses import dataclass, field
from datetime import date

from seqrec.core.config import added, speed_only
from seqrec.core.secrets import refuse_secret

KINDS = ("synthetic", "files", "download")
EDITIONS = ("2014", "2018", "2018-small", "2023")
CSV_COLUMNS = ("auto", "item-user", "user-item")


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Where the files come from that `ingest` reads."""

    # synthetic: files that `synthesize` wrote; download: files that `download` fetched; files: those named below.
    kind: str = "synthetic"
    reviews: str | list[str] | None = None  # Files, folders or globs of reviews; only with kind files.
    metadata: str | list[str] | None = None  # The same for item metadata; none means items without a category.

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: '{self.kind}' is not a kind of source. Choose one of {', '.join(KINDS)}.")
        if self.kind == "files" and not self.reviews:
            raise ValueError("reviews: empty, but kind is 'files'. Give files, a folder or a glob.")
        if self.kind != "files" and (self.reviews or self.metadata):
            raise ValueError(f"reviews, metadata: have no effect with kind '{self.kind}'. Set kind: files.")
        for name in ("reviews", "metadata"):
            for pattern in as_list(getattr(self, name)):
                refuse_secret(name, pattern)

    @property
    def review_patterns(self) -> list[str]:
        return as_list(self.reviews)

    @property
    def metadata_patterns(self) -> list[str]:
        return as_list(self.metadata)


@dataclass(frozen=True, kw_only=True)
class DownloadConfig:
    """The public files to fetch, and how patiently."""

    edition: str = "2018-small"  # 2014, 2018 (all reviews), 2018-small (its 5-core) or 2023.
    categories: list[str] = field(default_factory=list)  # Names as the public files spell them: Movies_and_TV.
    ratings_only: bool = False  # Fetch the ratings CSV (no text, far smaller) instead of the review lines.
    with_metadata: bool = True  # Fetch item metadata too.
    catalogue: str | None = None  # Your own YAML that lists public files, such as a mirror; none: the built-in one.
    num_parallel: int = 4  # Files fetched at the same time.
    max_attempts: int = 8  # Attempts per file; counted anew whenever bytes arrive.
    first_wait_seconds: float = 1.0  # Wait before the second attempt; doubles after each failure, up to one minute.
    timeout_seconds: float = 60.0  # An attempt fails if no byte arrives for so long.

    def __post_init__(self) -> None:
        if self.edition not in EDITIONS:
            raise ValueError(f"edition: '{self.edition}' is not known. Choose one of {', '.join(EDITIONS)}.")
        twice = sorted({category for category in self.categories if self.categories.count(category) > 1})
        if twice:
            raise ValueError(f"categories: '{twice[0]}' is named more than once. Name each category once.")
        for name in ("num_parallel", "max_attempts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is too small. Give at least 1.")
        for name in ("first_wait_seconds", "timeout_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: {getattr(self, name)} is not positive. Give a number of seconds.")


@dataclass(frozen=True, kw_only=True)
class SynthesisConfig:
    """Made-up data in the shape of Amazon's, with a known structure. The defaults are those of the demo."""

    num_reviews: int = 96_000  # Number of lines, exactly; the 2018 dump has 233_100_000.
    num_users: int = 8_000  # Number of users; the dump has about 43 million.
    num_items: int = 1_600  # Number of items; the dump has about 15 million.
    min_reviews_per_user: int = 6  # Reviews of the least active user; 1 in the dump.
    max_reviews_per_user: int = 2_000  # Reviews of the most active user.
    format: str = "json"  # json: review and metadata lines, .json.gz; csv: item,user,rating,timestamp, plain.
    text_words: int = 0  # Mean words of a review's text; 0 leaves text and summary out. Real reviews have about 80.
    num_clusters: int = 10  # Number of hidden tastes; they cross the visible categories.
    taste_share: float = 0.7  # Share of a user's events that follow the lasting taste; the others fall anywhere.
    stay_share: float = 0.7  # Share of a user's days that keep the phase of the day before; 0.5 hides the order best.
    step_share: float = 0.97  # Share of the gaps between days that show whether the phase of the items changes.
    shuffle_structure: bool = False  # Draw items without regard to user and time: same marginals, nothing to learn.
    shuffle_times: bool = False  # Keep the lasting taste, but let the gaps show nothing about the next item.
    # Share of the items whose brand is that of their hidden taste; the other brands, and all prices, mean nothing.
    brand_share: float = added(0.0)
    num_files: int = 0  # Number of review files; 0 chooses files of about 64 MB.

    def __post_init__(self) -> None:
        for name in ("num_reviews", "num_users", "num_items", "min_reviews_per_user", "num_clusters"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is too small. Give at least 1.")
        if self.format not in ("json", "csv"):
            raise ValueError(f"format: '{self.format}' is not known. Choose json or csv.")
        if self.num_reviews < self.num_users * self.min_reviews_per_user:
            raise ValueError(
                f"num_reviews: {self.num_reviews} is less than num_users x min_reviews_per_user "
                f"({self.num_users} x {self.min_reviews_per_user}). Raise it, or lower one of those."
            )
        if self.num_reviews > self.num_users * self.max_reviews_per_user:
            raise ValueError(
                f"num_reviews: {self.num_reviews} is more than num_users x max_reviews_per_user. Raise one of those."
            )
        if self.num_items < 2 * self.num_clusters:
            raise ValueError(
                f"num_items: {self.num_items} is less than two for each of {self.num_clusters} clusters. Set "
                f"synthesis.num_items={2 * self.num_clusters}, or a smaller synthesis.num_clusters."
            )
        for name in ("taste_share", "stay_share", "step_share", "brand_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name)} is not a share. Give a number from 0 to 1.")
        for name in ("text_words", "num_files"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} is negative. Give 0 or more.")


@dataclass(frozen=True, kw_only=True)
class IngestionConfig:
    """How raw lines become tables, and how many may be lost."""

    max_reject_fraction: float = 0.01  # Share of the lines that are not blank; if more are rejected the job fails.
    on_truncated: str = "fail"  # fail: a cut-off or corrupt archive ends the job; keep: take its whole lines.
    csv_columns: str = "auto"  # Order of the columns of a ratings file: auto, item-user (2018) or user-item (2014).
    first_day: str = "1995-01-01"  # Reviews dated before are rejected (UTC, this day included).
    last_day: str = "2030-12-31"  # Reviews dated after are rejected (UTC, this day included).
    max_line_bytes: int = 16_000_000  # Longer lines are rejected unparsed.
    # Archives larger than this are split into pieces and read on all cores; 0 never splits.
    split_above_mb: int = speed_only(256)
    piece_mb: int = speed_only(64)  # Size of such a piece, uncompressed.
    # Clean lines of reviews are read by compiled code where a C compiler is; false leaves all lines to Spark.
    compiled: bool = speed_only(True)
    # Review files of up to so many megabytes in all are read by this process, without waiting for Spark's workers.
    in_process_mb: int = speed_only(2048)

    def __post_init__(self) -> None:
        if not 0 <= self.max_reject_fraction <= 1:
            raise ValueError(f"max_reject_fraction: {self.max_reject_fraction} is not a share. Give 0 to 1.")
        if self.on_truncated not in ("fail", "keep"):
            raise ValueError(f"on_truncated: '{self.on_truncated}' is not known. Choose fail or keep.")
        if self.csv_columns not in CSV_COLUMNS:
            raise ValueError(f"csv_columns: '{self.csv_columns}' is not known. Choose one of {', '.join(CSV_COLUMNS)}.")
        days = []
        for name in ("first_day", "last_day"):
            try:
                days.append(date.fromisoformat(getattr(self, name)))
            except ValueError:
                raise ValueError(f"{name}: '{getattr(self, name)}' is not a day. Write it as 2018-10-31.") from None
        if days[0] > days[1]:
            raise ValueError(f"first_day: {self.first_day} is after last_day {self.last_day}. Swap them.")
        for name in ("max_line_bytes", "piece_mb"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} is too small. Give at least 1.")
        for name in ("split_above_mb", "in_process_mb"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} is negative. Give 0 or more.")


def as_list(patterns: str | list[str] | None) -> list[str]:
    """One pattern or several as a list; an empty list for none."""
    if not patterns:
        return []
    return [patterns] if isinstance(patterns, str) else list(patterns)
