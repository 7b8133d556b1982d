"""Looks for known weaknesses of the pinned packages.

python conf/setup/audit.py                        by pip-audit, which asks PyPI's database (`make audit` runs it)
python conf/setup/audit.py --advisories FOLDER    by a copy of github.com/pypa/advisory-database, without a network

`--constraints FILE` audits another list. The exit status is 1 if anything is found, or if a package could not be looked
up: "nothing found" and "nobody asked" must not look alike.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[2]
PIP_AUDIT = "pip-audit==2.10.1"


class Finding(NamedTuple):
    """A weakness that a pinned version has."""

    package: str
    version: str
    names: str  # The advisory's id, and what else it is called.
    fixed_in: str


def pins_of(path: Path) -> dict[str, str]:
    """Name -> version of a list of constraints."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", path.read_text(encoding="utf-8"), re.MULTILINE))


def findings(advisories: Path, pins: dict[str, str]) -> Iterator[Finding]:
    """What a copy of the advisory database says of pinned versions."""
    for name, version in pins.items():
        folder = advisories / "vulns" / re.sub(r"[-_.]+", "-", name).lower()
        for path in sorted(folder.glob("*.yaml")):
            advisory = yaml.safe_load(path.read_text(encoding="utf-8"))
            affected = [each for each in advisory["affected"] if is_affected(each, version)]
            if affected and not advisory.get("withdrawn"):
                fixed = {event["fixed"] for each in affected for event in events_of(each) if "fixed" in event}
                aliases = [alias for alias in advisory.get("aliases", []) if alias.startswith("CVE-")]
                names = ", ".join(dict.fromkeys([*aliases, advisory["id"]]))
                yield Finding(name, version, names, ", ".join(sorted(fixed, key=Version)) or "none")


def is_affected(affected: dict[str, Any], version: str) -> bool:
    """Whether one part of an advisory, in the form of OSV, holds for a version."""
    if version in affected.get("versions", []):
        return True
    is_inside = False
    for event in sorted(events_of(affected), key=_place):
        ((kind, bound),) = event.items()
        if kind == "introduced" and (bound == "0" or Version(bound) <= Version(version)):
            is_inside = True
        elif kind != "introduced":
            is_before = Version(version) < Version(bound) or (kind == "last_affected" and bound == version)
            is_inside = is_inside and is_before
    return is_inside


def events_of(affected: dict[str, Any]) -> list[dict[str, str]]:
    ranges = [each for each in affected.get("ranges", []) if each["type"] == "ECOSYSTEM"]
    return [event for each in ranges for event in each["events"]]


def _place(event: dict[str, str]) -> Version:
    (bound,) = event.values()
    try:
        return Version(bound)
    except InvalidVersion:
        return Version("0")


def audit_offline(advisories: Path, constraints: Path) -> int:
    if not (advisories / "vulns").is_dir():
        raise SystemExit(f"{advisories}: no folder vulns in it: give a copy of github.com/pypa/advisory-database.")
    pins = pins_of(constraints)
    found = list(findings(advisories, pins))
    print("| package | version | weakness | fixed in |\n|---|---|---|---|")
    print(*(f"| {' | '.join(each)} |" for each in found), sep="\n")
    print(f"\n{len(pins)} packages, {len({each.package for each in found})} with known weaknesses.")
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--advisories", type=Path)
    parser.add_argument("--constraints", type=Path, default=ROOT / "conf" / "constraints.txt")
    arguments = parser.parse_args()
    if arguments.advisories is not None:
        return audit_offline(arguments.advisories, arguments.constraints)
    # Strict: where PyPI cannot be reached, pip-audit passes over every package and finds nothing.
    options = ["--strict", "--no-deps", "--disable-pip", "-r", str(arguments.constraints)]
    command = ["uv", "tool", "run", PIP_AUDIT, *options]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
