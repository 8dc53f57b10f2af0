"""`imagefs formats`."""

import json

from imagefs.cli.formats import formats_table
from imagefs.formats import all_formats
from tests.cli.conftest import Imagefs


def test_the_table_has_a_row_for_each_format(imagefs: Imagefs):
    lines = imagefs("formats").out.decode().splitlines()
    assert lines == formats_table().splitlines()
    head, rule, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert head == ["Name", "Format", "Files", "Read", "Not yet"]
    assert set("".join(rule)) <= set("-| ")
    assert [row[0] for row in rows] == [entry.name for entry in all_formats()]
    assert len({len(line) for line in lines}) == 1


def test_json_says_the_same(imagefs: Imagefs):
    rows = json.loads(imagefs("formats", "--json").out)
    assert [(row["name"], row["title"], row["reads"], row["lacks"]) for row in rows] == [
        (entry.name, entry.title, entry.reads, entry.lacks) for entry in all_formats()
    ]
    assert set(rows[0]) == {"name", "title", "layer", "extensions", "mime", "reads", "lacks"}
