"""The files for systemd and mount(8), with the path of the program in them that is really there."""

import os
import shlex
from collections.abc import Iterator, Sequence

from imagefs.desktop.entries import from_source_tree
from imagefs.desktop.layout import Layout
from imagefs.desktop.plan import Item

PROGRAM = b"/usr/bin/imagefs"
"""What the files of the source tree name."""
HELPERS = ("mount.imagefs", "mount.fuse.imagefs")


def items(layout: Layout, program: Sequence[str]) -> Iterator[Item]:
    """Units for users; for a system also its own units, generators, tmpfiles.d and the helpers of mount(8)."""
    source = from_source_tree("systemd")
    homes = {
        "": layout.units,
        "system": layout.units,
        "user": layout.user_units,
        "system-generators": layout.generators,
        "tmpfiles.d": layout.tmpfiles,
        "examples": layout.units and os.path.join(layout.data, "doc/imagefs/examples"),
    }
    in_units, in_scripts = os.fsencode(" ".join(map(unit_word, program))), os.fsencode(shlex.join(program))
    for folder, _, names in sorted(os.walk(source)):
        first, _, below = os.path.relpath(folder, source).removeprefix(".").partition("/")
        home = homes.get(first)
        for name in sorted(names) if home else ():
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                content = file.read().replace(PROGRAM, in_scripts if first == "system-generators" else in_units)
            yield Item(os.path.join(home or "", below, name), content, 0o755 if os.access(path, os.X_OK) else 0o644)
    if layout.units:
        with open(from_source_tree("examples/imagefs.toml"), "rb") as file:
            yield Item(os.path.join(layout.data, "doc/imagefs/examples/imagefs.toml"), file.read())
    for name in HELPERS if layout.helpers else ():
        text = f"#!/bin/sh\n# What mount(8) runs for -t {name.removeprefix('mount.')}.\n"
        text += f'exec {shlex.join(program)} mount.imagefs "$@"\n'
        yield Item(os.path.join(layout.helpers or "", name), os.fsencode(text), 0o755)


def unit_word(word: str) -> str:
    """A word of a unit's ExecStart=: quoted where it must be, `%` and `$` doubled (systemd.service(5), "Command lines")."""
    word = word.replace("%", "%%").replace("$", "$$")
    if not word or any(letter in " \t\n\"'\\;" for letter in word):
        word = '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return word
