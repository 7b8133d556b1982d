"""Addresses of the public files: from the built-in list, or from one of your own with the same keys."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from seqrec.core.config import load_section, read_yaml
from seqrec.core.errors import ConfigError, did_you_mean
from seqrec.core.secrets import redact
from seqrec.ingestion.config import DownloadConfig
from seqrec.ingestion.files.raw_files import HIDDEN

BUILT_IN = Path(__file__).with_name("public_files.yaml")


@dataclass(frozen=True, kw_only=True)
class Edition:
    """One edition of the dump; in the paths `{category}` stands for a category."""

    mirrors: tuple[str, ...]  # Addresses that the paths are relative to; if one fails, the next one is tried.
    reviews: str  # Path of the review lines.
    ratings: str  # Path of the ratings without text.
    metadata: str  # Path of the item metadata.
    categories: tuple[str, ...]  # Names of the categories as the paths spell them.

    def __post_init__(self) -> None:
        if not self.mirrors:
            raise ValueError("mirrors: empty. Give at least one address.")


@dataclass(frozen=True)
class PublicFile:
    urls: tuple[str, ...]  # The same file on each mirror.
    is_metadata: bool

    @property
    def name(self) -> str:
        """The last part of the path, without a query: a plain name, whatever the server answers."""
        return urlsplit(self.urls[0]).path.rpartition("/")[2]


def files_to_download(config: DownloadConfig) -> list[PublicFile]:
    """The files that the settings ask for.

    Raises:
        ConfigError: no category, one that the edition does not have, or paths that name no file or one file twice.
    """
    edition = _edition(config)
    if not config.categories:
        raise ConfigError(f"download.categories: empty. Edition {config.edition} has {', '.join(edition.categories)}.")
    for category in config.categories:
        if category not in edition.categories:
            hint = did_you_mean(category, edition.categories, cutoff=0.4)
            raise ConfigError(
                f"download.categories: edition {config.edition} has no '{category}'.{hint} "
                f"It has {', '.join(edition.categories)}."
            )
    paths = [(edition.ratings if config.ratings_only else edition.reviews, False)]
    if config.with_metadata:
        paths.append((edition.metadata, True))
    files = [
        PublicFile(tuple(f"{mirror}/{path.format(category=category)}" for mirror in edition.mirrors), is_metadata)
        for category in config.categories
        for path, is_metadata in paths
    ]
    files = list(dict.fromkeys(files))  # Categories may share their metadata.
    _check_names(files)
    return files


def _check_names(files: list[PublicFile]) -> None:
    """Refuses two downloads of one name, which would write to one file, and names that Spark does not read."""
    seen: dict[str, str] = {}
    for file in files:
        address = redact(file.urls[0])
        if file.name.startswith(HIDDEN) or not file.name:
            raise ConfigError(f"{address}: names no file that can be read. Correct its path in download.catalogue.")
        if file.name in seen:
            raise ConfigError(
                f"{address}: ends in '{file.name}', and so does {seen[file.name]}. "
                "Put {category} into the last part of its path in download.catalogue."
            )
        seen[file.name] = address


def _edition(config: DownloadConfig) -> Edition:
    path = config.catalogue or str(BUILT_IN)
    editions: dict[str, Any] = {str(name): content for name, content in read_yaml(path).items()}
    if config.edition not in editions:
        raise ConfigError(f"{path}: has no edition '{config.edition}', only {', '.join(editions)}.")
    return load_section(Edition, editions[config.edition], f"{path}: {config.edition}")
