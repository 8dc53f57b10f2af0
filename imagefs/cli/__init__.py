"""The command line: `imagefs COMMAND ...`.

Only the module of the chosen command is imported, so that `imagefs --help` costs no more than the interpreter itself. A
command is one module with `add_arguments(parser)` and `run(args) -> int`; its docstring is its help.
"""

import sys
from collections.abc import Sequence

COMMANDS = {
    "mount": "show an image as a folder",
    "umount": "take a mount away",
    "list": "list the images that are mounted",
    "run": "run a command that alone sees images as folders",
    "ls": "list files in an image",
    "tree": "draw the folders of an image",
    "cat": "write files of an image, or its decoded sectors, to standard output",
    "extract": "copy files out of an image",
    "info": "tell what an image is: container, tracks, volumes, labels",
    "formats": "list the formats that can be read",
}
"""The commands, in the order of the help: name (and module in this package), what it does."""

_HELP = """\
usage: imagefs COMMAND [OPTION]... IMAGE ...
       imagefs COMMAND --help | --help | --version

Any disc or disk image is a folder: mounted, or read without a mount. Always read-only.

commands:
{commands}

exit status:
  0   done
  64  wrong words on the command line or in -o
  65  not an image, or a damaged one
  66  no such image or path in it, or a part of it (BIN, split) is missing
  69  recognised, and not readable by imagefs
  70  an internal error: please report it
  71  an error of the system; 74 for input and output
  77  password needed, or a reference that leaves the image's folder
  130 interrupted

examples:
  imagefs mount disc.iso ~/disc       then: ls ~/disc; imagefs umount ~/disc
  imagefs ls -l game.cue              list the root of a CD
  imagefs cat disc.iso README.TXT     read one file
  imagefs cat --raw game.cso > game.iso
  imagefs extract -C out disc.nrg     copy everything to the folder out
  imagefs info --why strange.bin      why an image is not recognised
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (without the program's name; None: the process's own) and return the exit status."""
    words = [*(sys.argv[1:] if argv is None else argv)]  # `list` is a module here, once that command was imported
    name = words[0] if words else ""
    if name == "help":
        words = [*words[1:2], "--help"]
        name = words[0]
    if name in COMMANDS:
        from imagefs.cli.common import run_command

        return run_command(name, words[1:])
    if name in ("-h", "--help"):
        return _print(_HELP.format(commands="\n".join(f"  {name:9} {text}" for name, text in COMMANDS.items())))
    if name in ("-V", "--version"):
        from imagefs import __version__

        return _print(f"imagefs {__version__}\n")
    kind = "option" if name.startswith("-") else "command"
    what = f"there is no {kind} {name!a}" if name else "a command is missing"
    print(f"imagefs: {what}; see imagefs --help", file=sys.stderr)
    return 64


def _print(text: str) -> int:
    from imagefs.cli.output import guarded, write

    def run() -> int:
        write(text)
        return 0

    return guarded(run)
