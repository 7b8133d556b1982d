"""Every message about settings: what it tells to set is set, and the settings are then taken."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.make_messages import PACKAGES, ROOT, located_messages
from seqrec.core.errors import ConfigError
from seqrec.pipeline.config import load_run_config
from seqrec.pipeline.keys import describe_keys
from seqrec.pipeline.run import plan_steps
from seqrec.pipeline.stages import STAGES
from seqrec.tuning.space_checks import build_space
from tests.advice.config_cases import AT_LEAST_ONE, BESIDE, CASES, Case
from tests.advice.followed_elsewhere import FOLLOWED, NOT_FOLLOWED

_ABOUT_SETTINGS = re.compile(
    r"config\.py$|models/(a2s|gru|sas|sli|reg)|objectives/|/tuning/s.*_|output\.py|secrets\.py"
)
_LEAST_FOLLOWED = 0.9


def settle(overrides: list[str]) -> None:
    """Reads settings as the jobs do, with all that is checked before any data is read."""
    loaded = load_run_config(None, overrides)
    run = loaded.run
    if not run.pipeline.models or run.model.name not in run.pipeline.models:
        loaded = load_run_config(None, [*overrides, f"pipeline.models=[{run.model.name}]"])
    plan_steps(loaded)
    build_space(run.tuning.parameters(), run.model, run.training)


def all_cases() -> Iterator[Case]:
    for section, names in AT_LEAST_ONE.items():
        for name in names.split():
            key = f"{section}.{name}"
            yield f"{key}=0", "; ".join(filter(None, [f"{key}=1", BESIDE.get(key)]))
    yield from CASES


@functools.cache
def refusal(refused: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settle(refused.split("; "))
    return str(caught.value)


@pytest.mark.parametrize(("refused", "told"), all_cases(), ids=lambda text: re.sub(r"\W+", "-", text)[:60])
def test_what_a_message_tells_to_set_is_taken(refused: str, told: str) -> None:
    before = refused.split("; ")
    message = refusal(refused)

    assert "\n" not in message
    replaced = {setting.partition("=")[0] for setting in told.split("; ")}
    kept = [setting for setting in before if setting.partition("=")[0] not in replaced and "=" in setting]
    settle([*kept, *told.split("; ")])


def known_keys() -> set[str]:
    sections = {"", *(part for stage in STAGES.values() for part in (*stage.reads, stage.section))}
    return {f"{section}.{key.name}".lstrip(".") for section in sections for key in describe_keys(section)}


def names_a_setting(path: Path, message: str, keys: set[str]) -> bool:
    """Whether a message is about settings, or tells to set one."""
    dotted = re.findall(r"(?<![\w.])[a-z_]+(?:\.[a-z_0-9]+)+", message)
    return bool(_ABOUT_SETTINGS.search(str(path)) or keys & set(dotted) or re.search("(force|seed|workdir)=", message))


def pattern_of(message: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in message.split("…")))


@functools.cache
def messages_about_settings() -> list[str]:
    keys = known_keys()
    found = [
        message
        for package in PACKAGES
        for path, message in located_messages(ROOT / "seqrec" / package)
        if names_a_setting(path.relative_to(ROOT), message, keys)
    ]
    return sorted(set(found))


def test_most_messages_about_settings_are_followed_by_a_test() -> None:
    """Add a case to `config_cases.py`, or a test to `followed_elsewhere.py`, for each message that is added."""
    seen = [refusal(refused) for refused, _ in all_cases()]
    messages = messages_about_settings()
    left = [
        message
        for message in messages
        if not any(pattern_of(message).search(text) for text in seen) and not any(part in message for part in FOLLOWED)
    ]
    unexplained = [message for message in left if not any(part in message for part in NOT_FOLLOWED)]
    share = 1 - len(left) / len(messages)
    print(f"{len(messages)} messages are about settings, {share:.0%} of them followed; without a reason:", *unexplained)
    assert share >= _LEAST_FOLLOWED, "\n".join(left)


def test_the_tests_that_are_named_are_there() -> None:
    for name in FOLLOWED.values():
        file, _, test = name.partition("::")
        assert re.search(rf"^(def|async def) {test}\b", (ROOT / file).read_text(encoding="utf-8"), re.M), name
