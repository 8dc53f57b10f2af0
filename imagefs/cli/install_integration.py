"""Make the desktop, the manual and the shell know imagefs, for oneself or (as root) for everybody.

Installed are: a starter for images, their types and an icon; "Mount image" and "Unmount image" in the menus of Nautilus,
Nemo, Dolphin, Caja and PCManFM; man pages; completions for bash, zsh and fish; units of systemd. For everybody also
mount.imagefs, so that mount(8) and fstab know the type `imagefs`. All of them name this very program by its path.

Every file is written down and taken away by `imagefs uninstall-integration`; a file of somebody else's is never overwritten.
Doing it again brings all up to date. Packages use --destdir, with which nothing is written down or started.
"""

import argparse
import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence

from imagefs.cli.common import add_talk_arguments
from imagefs.cli.output import printable, write
from imagefs.desktop.layout import Layout, for_system, for_user, refresh
from imagefs.desktop.plan import Item, Record, Step, install
from imagefs.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_whose_arguments(parser)
    parser.add_argument(
        "--prefix", metavar="DIR", default="/usr/local", help="for everybody below DIR (default: /usr/local)"
    )
    parser.add_argument("--destdir", metavar="DIR", default="", help="put in front of all paths, to make a package")
    parser.add_argument("--program", metavar="FILE", help="the program that is named in all that (default: this one)")
    add_talk_arguments(parser)


def add_whose_arguments(parser: argparse.ArgumentParser) -> None:
    """--user, --system, --dry-run."""
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--user", action="store_true", help="for oneself (the default, but for root)")
    whose.add_argument("--system", action="store_true", help="for everybody (root's default)")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only list what would be done")


def is_for_everybody(args: argparse.Namespace) -> bool:
    """Whose integration is meant."""
    return bool(args.system or (os.geteuid() == 0 and not args.user))


def run(args: argparse.Namespace) -> int:
    layout = _layout(args)
    program = [os.path.abspath(args.program)] if args.program else this_program()
    if layout.units and not args.destdir:
        trusted([program[0], sys.executable, os.path.dirname(os.path.dirname(os.path.abspath(__file__)))])
        if closed := closed_to_others(program[0]):
            args.report.warn("only root can start imagefs from here; install it for everybody", closed)
    if layout.units:
        os.umask(0o022)  # whatever root's own habits are, everybody has to get at the folders
    record = Record.load(layout.record)
    written = tell(args, install(items(layout, program), record, dry_run=args.dry_run))
    if args.dry_run:
        return int(args.report.status)
    if not args.destdir:
        for line in refresh(layout):
            args.report.warn(line)
    if not args.quiet:
        hint = "" if args.destdir else "; imagefs uninstall-integration takes them away"
        write(f"{written} files written, {len(record.files)} in place{hint}\n")
        if not layout.units and os.environ.get("SHELL", "").endswith("zsh"):
            write(f"zsh finds its completion when this stands in .zshrc before compinit: fpath+=({layout.zsh})\n")
    return int(args.report.status)


def _layout(args: argparse.Namespace) -> Layout:
    if not is_for_everybody(args) and not args.destdir:
        return for_user()
    if args.user:
        raise UsageError("--destdir makes a package for everybody, without --user")
    destdir = os.path.abspath(args.destdir) if args.destdir else ""
    return for_system(os.path.abspath(args.prefix), destdir)


def items(layout: Layout, program: Sequence[str]) -> Iterator[Item]:
    """All files of an integration."""
    from imagefs.cli.documents import bash, fish, manual, zsh
    from imagefs.desktop import entries, units

    yield from entries.items(layout.data, program, system=layout.units is not None)
    for page, text in manual.pages().items():
        yield Item(os.path.join(layout.data, f"man/man{page[-1]}", page), text.encode())
    yield Item(os.path.join(layout.data, "man/man8/mount.fuse.imagefs.8"), b"mount.imagefs.8", is_link=True)
    yield Item(os.path.join(layout.bash, "imagefs"), bash.script().encode())
    yield Item(os.path.join(layout.zsh, "_imagefs"), zsh.script().encode())
    yield Item(os.path.join(layout.fish, "imagefs.fish"), fish.script().encode())
    yield from units.items(layout, program)


def tell(args: argparse.Namespace, steps: Iterator[Step]) -> int:
    """Go through the steps: list them in a dry run, report what was refused; how many files were written or removed."""
    count = 0
    for verb, path in steps:
        if verb == "refuse":
            args.report.fail(
                OSError(errno.EEXIST, "this is not imagefs's file, or was changed, and stays as it is", path)
            )
        elif args.dry_run and verb != "keep":
            write(f"{verb} {printable(path)}\n")
        count += verb in ("write", "remove")
    return count


def this_program() -> list[str]:
    """The words that start the imagefs that runs now, wherever it is called from.

    -P: no module comes from the folder that somebody happens to be in, which may hold a stranger's image and his imagefs.py.
    """
    called = sys.argv[0]
    if os.path.basename(called) == "imagefs" and os.path.isfile(called) and os.access(called, os.X_OK):
        return [os.path.abspath(called)]
    return [sys.executable, "-P", "-m", "imagefs"]


def trusted(paths: Sequence[str]) -> None:
    """See that nobody but root can change what root will run. Raises OSError that names the place."""
    for place in _on_the_way(paths):
        found = os.stat(place)
        anybody = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
        if found.st_uid or anybody:
            what = "not root's alone, so mount(8) and systemd must not run it; install it for everybody"
            raise OSError(errno.EPERM, what, place)


def closed_to_others(program: str) -> str | None:
    """The place on the way to a program that only root may pass."""
    return next((place for place in _on_the_way([program]) if not os.stat(place).st_mode & stat.S_IXOTH), None)


def _on_the_way(paths: Sequence[str]) -> Iterator[str]:
    """The paths, what they lead to where they are links, and all folders above both."""
    for path in paths:
        for place in dict.fromkeys((path, os.path.realpath(path))):
            yield place
            while place != "/":
                place = os.path.dirname(place)
                yield place
