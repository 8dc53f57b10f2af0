"""python -m tools.readme [--check]: bring the generated parts of README.md up to date, or only say whether they are.

A part stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`. Generated here: the formats, the options of -o, the
exit statuses. The bench's table is put there by `python -m bench --readme`.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from imagefs import options
from imagefs.cli.formats import formats_table

README = Path(__file__).parent.parent / "README.md"


def options_table() -> str:
    """The options of -o as a table."""
    rows = ["| `{}` | {} |".format(name.replace("|", "\\|"), text) for name, text in options.describe()]
    return "\n".join(["| option | what it does |", "|---|---|", *rows])


def statuses_table() -> str:
    """The exit statuses, as `imagefs --help` lists them."""
    said = subprocess.run(
        [sys.executable, "-m", "imagefs", "--help"], check=True, capture_output=True, text=True
    ).stdout
    listed = said.partition("exit status:\n")[2].partition("\n\n")[0]
    rows = ["| {} | {} |".format(*line.split(maxsplit=1)) for line in listed.splitlines()]
    return "\n".join(["| status | when |", "|---|---|", *rows])


PARTS: dict[str, Callable[[], str]] = {
    "formats": formats_table,
    "options": options_table,
    "statuses": statuses_table,
}


def _halves(name: str) -> tuple[str, str, str]:
    """README.md before, in and after a part. Raises LookupError."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, mark, rest = README.read_text().partition(begin)
    text, other_mark, after = rest.partition(end)
    if not (mark and other_mark):
        raise LookupError(f"README.md has no marks for {name}")
    return before + begin, text, end + after


def part(name: str) -> str:
    """What stands in README.md between the marks of a part. Raises LookupError."""
    return _halves(name)[1].strip()


def replace(name: str, text: str) -> None:
    """Put `text` between the marks of a part. Raises LookupError."""
    before, _, after = _halves(name)
    README.write_text(f"{before}{text.strip()}\n{after}")


def main() -> int:
    """With --check, 1 when a part is out of date."""
    stale = [name for name, make in PARTS.items() if part(name) != make().strip()]
    if "--check" not in sys.argv[1:]:
        for name in stale:
            replace(name, PARTS[name]())
        return 0
    for name in stale:
        print(f"README.md: the part `{name}` is out of date; run: make readme", file=sys.stderr)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
