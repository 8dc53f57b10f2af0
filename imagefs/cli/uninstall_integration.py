"""Take away what `imagefs install-integration` installed and wrote down; files that were changed since stay."""

import argparse
import errno

from imagefs.cli.common import add_talk_arguments
from imagefs.cli.install_integration import add_whose_arguments, is_for_everybody, tell
from imagefs.cli.output import write
from imagefs.desktop.entries import TYPES
from imagefs.desktop.layout import GENERATED, for_system, for_user, refresh
from imagefs.desktop.plan import Record, remove_folders, uninstall


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_whose_arguments(parser)
    add_talk_arguments(parser)


def run(args: argparse.Namespace) -> int:
    layout = for_system("/usr/local") if is_for_everybody(args) else for_user()
    record = Record.load(layout.record)
    if not record.files:
        raise FileNotFoundError(errno.ENOENT, "nothing of imagefs is installed; this would know of it", layout.record)
    data = next((path.removesuffix(TYPES) for path in record.files if path.endswith(TYPES)), layout.data)
    layout = layout._replace(data=data.rstrip("/"))  # it may have been installed with another --prefix
    removed = tell(args, uninstall(record, dry_run=args.dry_run))
    if not args.dry_run:
        for line in refresh(layout):
            args.report.warn(line)
        remove_folders(record, GENERATED)
        if not args.quiet:
            write(f"{removed} files removed\n")
    return int(args.report.status)
