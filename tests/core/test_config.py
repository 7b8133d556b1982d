from dataclasses import dataclass, field
from typing import Literal

import pytest

from seqrec.core.config import (
    added,
    apply_override,
    keys_marked,
    load_section,
    marked,
    not_in_recipe,
    plain,
    read_yaml,
    recipe_settings,
    speed_only,
)
from seqrec.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Tower:
    sizes: tuple[int, ...] = (100, 64)
    rate: float = 0.3
    kind: Literal["plain", "gated"] = "plain"

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"rate is {self.rate}: give at least 0.")


@dataclass(frozen=True, kw_only=True)
class Run:
    workdir: str
    tower: Tower = field(default_factory=Tower)
    reviews: str | tuple[str, ...] = ""

    def __post_init__(self) -> None:
        if not self.workdir:
            raise ValueError("workdir is empty: give a folder.")


def test_load_section_fills_nested_sections_and_defaults():
    run = load_section(Run, {"workdir": "/data", "tower": {"sizes": [3], "rate": 1}}, "run.yaml")

    assert run == Run(workdir="/data", tower=Tower(sizes=(3,), rate=1.0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"workdri": "x"}, "run.yaml: unknown key 'workdri'. Did you mean 'workdir'?"),
        (
            {"workdir": "x", "tower": {"depth": 1}},
            "run.yaml: unknown key 'tower.depth'. Known keys: kind, rate, sizes.",
        ),
        ({}, "run.yaml: missing key 'workdir'. Add it: it has no default."),
        ({"workdir": 3}, "run.yaml: workdir: expected string, got 3. YAML reads a number: put it in quotes, '\"3\"'."),
        ({"workdir": "x", "tower": {"sizes": [1, "a"]}}, "run.yaml: tower.sizes.1: expected integer, got 'a'."),
        ({"workdir": "x", "tower": {"sizes": [True]}}, "run.yaml: tower.sizes.0: expected integer, got True."),
        (
            {"workdir": "x", "tower": {"rate": "1e-3"}},
            "run.yaml: tower.rate: expected number, got '1e-3'. YAML reads 1e-3 as text: write 1.0e-3.",
        ),
        ({"workdir": "x", "tower": {"kind": "bent"}}, "run.yaml: tower.kind: expected 'plain' or 'gated', got 'bent'."),
        ({"workdir": "x", "tower": {"rate": -1.0}}, "run.yaml: tower: rate is -1.0: give at least 0."),
        ({"workdir": "x", "tower": 5}, "run.yaml: tower: expected a section of keys, got 5."),
        (
            {"workdir": "x", "reviews": 5},
            "run.yaml: reviews: expected string, got 5. YAML reads a number: put it in quotes, '\"5\"'.",
        ),
    ],
)
def test_load_section_says_in_one_line_what_is_wrong_and_where(values, message):
    with pytest.raises(ConfigError) as error:
        load_section(Run, values, "run.yaml")

    assert str(error.value) == message


def test_an_error_in_an_override_names_the_command_line_and_not_the_file():
    values, origins = {"workdir": "x"}, {}
    apply_override(values, "tower.rate=fast", origins)

    with pytest.raises(ConfigError, match="^--set: tower.rate: expected number, got 'fast'"):
        load_section(Run, values, "run.yaml", origins)


@pytest.mark.parametrize(
    ("values", "override", "message"),
    [
        ({"workdir": ""}, "reviews=a.json", "run.yaml: workdir is empty: give a folder."),
        ({"workdir": "x"}, "workdir=", "--set: workdir: expected string, got None."),
        ({"workdir": "x"}, "workdir=''", "--set: workdir is empty: give a folder."),
        (
            {"workdir": "x", "tower": {"rate": -1.0}},
            "tower.kind=gated",
            "run.yaml: tower: rate is -1.0: give at least 0.",
        ),
        ({"workdir": "x", "tower": {"rate": 1.0}}, "tower.rate=-1.0", "--set: tower: rate is -1.0: give at least 0."),
        ({"workdir": "x"}, "tower={rate: -1.0}", "--set: tower: rate is -1.0: give at least 0."),
        ({"workdir": "x"}, "towr.rate=1.0", "--set: unknown key 'towr'. Did you mean 'tower'?"),
        (
            {"workdir": "x", "towr": {"rate": 1.0}},
            "towr.kind=gated",
            "run.yaml: unknown key 'towr'. Did you mean 'tower'?",
        ),
        ({"workdir": "x"}, "tower.rate=.nan", "--set: tower.rate: expected a finite number, got nan."),
        ({"workdir": "x"}, "tower.sizes=[1, a]", "--set: tower.sizes.1: expected integer, got 'a'."),
    ],
)
def test_an_error_names_the_command_line_only_for_what_came_from_there(values, override, message):
    origins: dict = {}
    apply_override(values, override, origins)

    with pytest.raises(ConfigError) as error:
        load_section(Run, values, "run.yaml", origins)

    assert str(error.value) == message


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("tower.sizes=[1, 2]", {"tower": {"sizes": [1, 2]}}),
        ("workdir=s3://bucket/a=b", {"workdir": "s3://bucket/a=b"}),
        ("tower.rate=", {"tower": {"rate": None}}),
        ("workdir=/data/run #2", {"workdir": "/data/run #2"}),
        ("workdir='/data/run #2'", {"workdir": "/data/run #2"}),
        ("tower.rate=3 # of ten", {"tower": {"rate": 3}}),
        ("day=2018-02-30", {"day": "2018-02-30"}),
    ],
)
def test_apply_override_reads_the_value_as_yaml(override, expected):
    values: dict = {}

    apply_override(values, override, {})

    assert values == expected


@pytest.mark.parametrize("override", ["tower.rate", "=3"])
def test_apply_override_refuses_what_is_not_key_and_value(override):
    with pytest.raises(ConfigError, match="expected section.key=value"):
        apply_override({}, override, {})


def test_apply_override_refuses_to_go_into_a_value():
    with pytest.raises(ConfigError, match="'workdir' holds 'x', not a section"):
        apply_override({"workdir": "x"}, "workdir.a=1", {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("- 1", "expected a mapping of sections, got list"),
        (None, "no such config file"),
        ("a: {b: 1}\nc: 2\na: {d: 3}\n", "line 3: the key 'a' is given a second time. Put both in one place."),
        ("a:\n  b: 1\n  b: 2\n", "line 3: the key 'b' is given a second time"),
        ("a:\n  1: 2\n", "line 2: expected the name of a key, got 1. Put it in quotes if it is one."),
        ("a: 2018-02-30\n", "not valid YAML: day is out of range for month."),
    ],
)
def test_read_yaml_names_the_file_and_the_fault(tmp_path, content, message):
    path = tmp_path / "run.yaml"
    if content is not None:
        path.write_text(content)

    with pytest.raises(ConfigError, match=f"run.yaml: .*{message}"):
        read_yaml(path)


def test_read_yaml_merges_what_is_named_elsewhere(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("base: &base {b: 1, c: 2}\nmine:\n  <<: *base\n  b: 3\n")

    assert read_yaml(path)["mine"] == {"b": 3, "c": 2}


def test_plain_settings_are_what_json_reads_back():
    @dataclass(frozen=True)
    class Inner:
        sizes: tuple[int, ...] = (1, 2)

    assert plain({"inner": Inner(), "all": [Inner((3,))], "none": None}) == {
        "inner": {"sizes": [1, 2]},
        "all": [{"sizes": [3]}],
        "none": None,
    }


@dataclass(frozen=True, kw_only=True)
class Marked:
    name: str = not_in_recipe("demo")
    size: int = 3
    threads: int | None = speed_only(None)
    window: int = added(1)
    seed: int = marked(1, "drawn", in_recipe=True)
    tower: Tower = field(default_factory=Tower)


def test_the_recipe_has_the_keys_that_decide_the_result():
    tower = {"sizes": [100, 64], "rate": 0.3, "kind": "plain"}

    assert recipe_settings(Marked(name="mine", threads=4)) == {"size": 3, "seed": 1, "tower": tower}
    assert recipe_settings(Marked(size=4)) == {"size": 4, "seed": 1, "tower": tower}


def test_a_key_that_was_added_is_in_the_recipe_only_where_it_differs_from_what_was_done_before():
    assert "window" not in recipe_settings(Marked(window=1))
    assert recipe_settings(Marked(window=2))["window"] == 2


def test_marked_keys_are_found_by_their_mark_and_load_like_others():
    assert keys_marked(Marked, "drawn") == ["seed"]
    assert load_section(Marked, {"threads": 2}, "a.yaml") == Marked(threads=2)
    with pytest.raises(ConfigError, match="size: expected integer"):
        load_section(Marked, {"size": "many"}, "a.yaml")
