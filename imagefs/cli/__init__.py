"""The command line: `imagefs COMMAND ...`.

Only the module of the chosen command is imported, so that `imagefs --help` costs no more than the interpreter itself. A
command is one module with `add_arguments(parser)` and `run(args) -> int`; its docstring is its help.
"""

import sys
from collections.abc import Sequence

COMMANDS = {
    "mount": "show an image as a folder",
    "umount": "take a mount away",
    "open": "mount an image under ~/imagefs and show it in the file manager",
    "list": "list the images that are mounted, and those of the daemon",
    "serve": "show all images of folders, as they come and go: the daemon",
    "attach": "show an image as a folder of the daemon",
    "detach": "take an image away from the daemon",
    "status": "tell what the daemon is doing",
    "reload": "have the daemon read its configuration again",
    "run": "run a command that alone sees images as folders",
    "ls": "list files in an image",
    "tree": "draw the folders of an image",
    "cat": "write files of an image, or its decoded sectors, to standard output",
    "extract": "copy files out of an image",
    "info": "tell what an image is: container, tracks, volumes, labels",
    "formats": "list the formats that can be read",
    "install-integration": "make desktop, manual and shell know imagefs",
    "uninstall-integration": "take that away again",
}
"""The commands, in the order of the help: name (and module in this package, with `_` for `-`), what it does."""

_HELP = """\
usage: imagefs COMMAND [OPTION]... IMAGE ...
       imagefs COMMAND --help | --help | --version

Any disc or disk image is a folder: mounted, or read without a mount. Always read-only.

commands:
{commands}

exit status:
{statuses}
examples:
{examples}"""

STATUSES = """\
  0   done
  64  wrong words on the command line or in -o
  65  not an image, or a damaged one
  66  no such image or path in it, or a part of it (BIN, split) is missing
  69  recognised, and not readable by imagefs
  70  an internal error: please report it
  71  an error of the system; 74 for input and output
  77  password needed, or a reference that leaves the image's folder
  130 interrupted
"""
EXAMPLES = """\
  imagefs mount disc.iso ~/disc       then: ls ~/disc; imagefs umount ~/disc
  imagefs ls -l game.cue              list the root of a CD
  imagefs cat disc.iso readme.txt     read one file
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
        try:
            from imagefs.cli.common import run_command

            return run_command(name, words[1:])
        except KeyboardInterrupt:  # while modules are imported or words are parsed; a running command sees to it itself
            return 130
    if name == "mount.imagefs":  # what the helper of mount(8) runs; its words and exit statuses are its own
        from imagefs.cli.mount_helper import main as helper

        return helper(words[1:])
    if name == "systemd-generator":  # what systemd runs at boot
        from imagefs.daemon.generator import main as generate

        return generate(words[1:])
    if name == "complete-path":  # what the shells' completions ask for
        from imagefs.cli.documents.inside import main as complete

        return complete(words[1:])
    if name in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        commands = "\n".join(f"  {name:{width}} {text}" for name, text in COMMANDS.items())
        return _print(_HELP.format(commands=commands, statuses=STATUSES, examples=EXAMPLES))
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
