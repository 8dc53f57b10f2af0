"""README.md says what the code says: its generated parts are those that the code would generate now."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from imagefs import errors, options
from imagefs.cli import COMMANDS
from imagefs.cli.formats import formats_table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def part(name: str) -> str:
    found = re.search(rf"<!-- {name}: begin -->\n(.*)\n<!-- {name}: end -->", README, re.DOTALL)
    assert found, f"README.md has no part {name}"
    return found[1]


def test_the_formats_are_those_of_the_registry() -> None:
    assert part("formats") == formats_table().strip()


def test_every_option_is_described() -> None:
    rows = part("options").splitlines()[2:]
    assert rows == ["| `{}` | {} |".format(name.replace("|", "\\|"), text) for name, text in options.describe()]


def test_every_exit_status_is_listed() -> None:
    listed = {int(number) for number in re.findall(r"\b\d+\b", part("statuses"))}
    kinds = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.ImageError)
    ]
    raised = {kind.status for kind in kinds} | {errors.INTERNAL_STATUS, errors.SYSTEM_STATUS, errors.IO_STATUS}
    assert raised <= listed
    assert 0 in listed


def test_nothing_is_stale() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.readme", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_commands_it_shows_exist() -> None:
    shown = set(
        re.findall(r"\bimagefs ([a-z-]+)\b", "\n".join(re.findall(r"`[^`\n]+`|^    .*$", README, re.MULTILINE)))
    )
    assert {"mount", "umount", "ls", "cat", "extract", "info", "formats"} <= shown <= set(COMMANDS)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / name).read_text()):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_make_targets_it_shows_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = README + (ROOT / "CONTRIBUTING.md").read_text()
    for target in set(re.findall(r"(?:`|^    )make ([a-z]+)", text, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
