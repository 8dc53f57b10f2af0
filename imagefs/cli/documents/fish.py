"""Completion for fish: one `complete` for each word of each command, made from their parsers."""

from collections.abc import Iterator

from imagefs.cli.documents.catalogue import Command, Takes, Word, commands, view_options

_HEAD = """\
# fish completion for imagefs, made from the parsers of its commands
function __imagefs_mounts
    findmnt --noheadings --list --output TARGET --types fuse.imagefs 2>/dev/null
end
function __imagefs_view_words
@VIEW@
end
function __imagefs_command
    set -l words (commandline -opc)
    test "$words[2]" = $argv[1]
end
function __imagefs_image
    for word in (commandline -opc)[3..]
        set -l path (string replace -r '^~/' "$HOME/" -- $word)
        test -f $path; and echo $path; and return
    end
    return 1
end
function __imagefs_inside
    imagefs complete-path (__imagefs_image) (string unescape -- (commandline -ct)) 2>/dev/null
end
complete -c imagefs -f
complete -c imagefs -n __fish_use_subcommand -s h -l help -d 'show the help'
complete -c imagefs -n __fish_use_subcommand -s V -l version -d 'show the version'
"""
_ACTIONS = {
    Takes.FILE: "-r -F",
    Takes.FOLDER: "-x -a '(__fish_complete_directories)'",
    Takes.MOUNT: "-x -a '(__imagefs_mounts)'",
    Takes.VIEW: "-x -a '(__fish_complete_list , __imagefs_view_words)'",
    Takes.INSIDE: "-x",
    Takes.OTHER: "-x",
}


def script() -> str:
    """The file `imagefs.fish`."""
    words = "\n".join(f"    printf '%s\\t%s\\n' {_quoted(word)} {_quoted(text)}" for word, text in _view())
    lines = [_HEAD.replace("@VIEW@", words).rstrip("\n")]
    known = commands()
    for command in known:
        lines.append(f"complete -c imagefs -n __fish_use_subcommand -a {command.name} -d {_quoted(command.summary)}")
    names = _quoted(" ".join(command.name for command in known))
    lines.append(f"complete -c imagefs -n '__imagefs_command help' -a {names}")
    for command in known:
        lines += _lines(command)
    return "\n".join(lines) + "\n"


def _view() -> Iterator[tuple[str, str]]:
    for name, text, choices in view_options():
        for choice in choices or ("",):
            yield name + choice, text


def _lines(command: Command) -> Iterator[str]:
    has_paths = any(word.takes is Takes.INSIDE for word in command.arguments)
    start = f"complete -c imagefs -n '__imagefs_command {command.name}'"
    for option in command.options:
        action = f" {_action(option)}" if option.metavar else ""
        yield f"{start} {' '.join(map(_flag, option.flags))} -d {_quoted(option.help)}{action}"
    if command.follows:
        yield f"{start[:-1]}; and contains -- -- (commandline -opc)' -a '(__fish_complete_command)'"
    for word in command.arguments:
        if word.choices:
            yield f"{start} -a {_quoted(' '.join(word.choices))}"
        elif word.takes is Takes.MOUNT:
            yield f"{start} -F -a '(__imagefs_mounts)'"
        elif word.takes is Takes.INSIDE:
            yield f"{start[:-1]}; and __imagefs_image >/dev/null' -a '(__imagefs_inside)'"
        elif word.takes in (Takes.FILE, Takes.FOLDER, Takes.OTHER):
            once = f"{start[:-1]}; and not __imagefs_image >/dev/null'" if has_paths else start
            yield f"{once} -F"


def _action(option: Word) -> str:
    return f"-x -a {_quoted(' '.join(option.choices))}" if option.choices else _ACTIONS[option.takes]


def _flag(flag: str) -> str:
    if flag.startswith("--"):
        return f"-l {flag[2:]}"
    return f"-s {flag[1:]}" if len(flag) == 2 else f"-o {flag[1:]}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", r"\'") + "'"
