"""Whether a stage has to run: the question, the sentence that it is skipped, and where it writes, once for all stages.

A stage builds its recipe, asks `StageOutput.current` for a result that it can return as it is, and otherwise writes
into `StageOutput.begin`. `force` makes it run in any case, and from the start.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from seqrec.core.manifest import Attempt, Dataset, Manifest, Recipe

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageOutput:
    """The dataset that a stage is about to write, and how."""

    dataset: Dataset
    recipe: Recipe
    force: bool  # Run although the result is up to date.
    resumes: bool = False  # Continue the newest unfinished attempt at this recipe, unless `force` starts anew.

    @property
    def earlier(self) -> Manifest | None:
        """The published result of the same recipe; None if there is none, or if `force` starts anew.

        A stage that can be made longer (training by epochs, tuning by trials) continues from it.
        """
        return None if self.force else self.dataset.manifest_of(self.recipe)

    def current(
        self, is_enough: Callable[[Manifest], bool] = lambda _: True, extent: Callable[[Manifest], str] = lambda _: ""
    ) -> Manifest | None:
        """The published result, if the stage can be skipped; logs that it is.

        Args:
            is_enough: whether the result is as long as the settings ask for; by default the recipe alone decides.
            extent: how long the result is, such as "10 epochs", for the log.
        """
        earlier = self.earlier
        if earlier is None or not is_enough(earlier):
            return None
        log_skipped(self.recipe.stage, self.dataset.name, extent(earlier))
        return earlier

    def begin(self) -> Attempt:
        """The attempt to write in.

        Raises:
            DataError: another job on this machine is writing this dataset.
        """
        return self.dataset.begin(self.recipe, resume=self.resumes and not self.force)

    def other_attempts(self) -> list[str]:
        """Ids of unfinished attempts at other recipes, which `begin` would delete."""
        return [name for name in self.dataset.unfinished() if not name.startswith(self.recipe.digest[:12])]


def log_skipped(stage: str, name: str, extent: str = "") -> None:
    """Logs that the result `name` of a stage is up to date; `extent` says how long it is, such as "10 epochs"."""
    how_long = f" ({extent})" if extent else ""
    _LOG.info("%s: '%s' is up to date%s, skipped (--set force=true redoes it)", stage, name, how_long)
