"""Completion for zsh: a `_imagefs` for fpath, made from the commands' parsers, in the words of _arguments and _values."""

from collections.abc import Iterator

from imagefs.cli.documents.catalogue import Command, Takes, Word, commands, view_options

_SCRIPT = r"""#compdef imagefs
# zsh completion for imagefs, made from the parsers of its commands

_imagefs_mounts() {
    local -a mounts
    mounts=(${(f)"$(findmnt --noheadings --list --output TARGET --types fuse.imagefs 2>/dev/null)"})
    (($#mounts)) && compadd -f -- $mounts
    _files
}
_imagefs_inside() {
    local image=${(Q)line[1]}
    local -a found=(${(f)"$($imagefs complete-path ${image/#\~\//$HOME/} ${(Q)PREFIX} 2>/dev/null)"})
    compadd -- ${found:#*/}
    compadd -S '' -- ${(M)found:#*/}
}
_imagefs_view() {
    local -a names=(
@VIEW@
    )
    compset -P '*,'
    case $PREFIX in
@VALUES@
        *=*) ;;
        *) _describe option names -S '' ;;
    esac
}
_imagefs_names() {
    local -a names=(
@NAMES@
    )
    _describe command names
}
_imagefs() {
    local imagefs=$words[1] context state state_descr line
    typeset -A opt_args
    _arguments -C '(- *)'{-h,--help}'[show the help]' '(- *)'{-V,--version}'[show the version]' \
        '1:command:_imagefs_names' '*::word:->words'
    [[ $state == words ]] || return
    local dashes=${words[(i)--]}
    case $line[1] in
@COMMANDS@
        help) _arguments '1:command:_imagefs_names' ;;
    esac
}
_imagefs "$@"
"""
_ACTIONS = {
    Takes.FILE: "_files",
    Takes.FOLDER: "_files -/",
    Takes.MOUNT: "_imagefs_mounts",
    Takes.VIEW: "_imagefs_view",
    Takes.INSIDE: "_imagefs_inside",
    Takes.OTHER: " ",
}


def script() -> str:
    """The file `_imagefs`."""
    known = commands()
    names = "\n".join(f"        {_quoted(f'{command.name}:{_plain(command.summary)}')}" for command in known)
    cases = "\n".join(line for command in known for line in _case(command))
    text = _SCRIPT.replace("@NAMES@", names).replace("@COMMANDS@", cases)
    view = "\n".join(f"        {_quoted(f'{name}:{_plain(text)}')}" for name, text, _ in view_options())
    values = [(name, choices) for name, _, choices in view_options() if choices]
    cases = "\n".join(f"        {name}*) compset -P '*='; compadd -S '' {' '.join(some)} ;;" for name, some in values)
    return text.replace("@VIEW@", view).replace("@VALUES@", cases)


def _case(command: Command) -> Iterator[str]:
    yield f"        {command.name})"
    if command.follows:
        yield "            ((dashes < CURRENT)) && shift $dashes words && ((CURRENT -= dashes)) && _normal && return"
    specs = [_option(option) for option in command.options]
    specs += [_argument(place, word) for place, word in enumerate(command.arguments, 1)]
    yield "            _arguments -s " + " ".join(specs)
    yield "            ;;"


def _option(option: Word) -> str:
    """(excluded)flag[help]:metavar:action; one that may come again excludes nothing."""
    value = f":{_plain(option.metavar)}:{_action(option)}" if option.metavar else ""
    words = [f"{flag}[{_plain(option.help)}]{value}" for flag in option.flags]
    excluded = f"({' '.join(option.flags)})"
    return " ".join(_quoted(f"*{word}" if option.takes is Takes.VIEW else f"{excluded}{word}") for word in words)


def _argument(place: int, word: Word) -> str:
    where = "*" if word.many else f"{place}:" if word.optional else f"{place}"
    separator = "" if where.endswith(":") else ":"
    return _quoted(f"{where}{separator}{_plain(word.metavar)}:{_action(word)}")


def _action(word: Word) -> str:
    return f"({' '.join(word.choices)})" if word.choices else _ACTIONS[word.takes]


def _plain(text: str) -> str:
    """Text without the letters that mean something in a specification."""
    return text.translate({ord("["): "(", ord("]"): ")", ord(":"): " ", ord("\\"): "/"})


def _quoted(text: str) -> str:
    return "'" + text.replace("'", r"'\''") + "'"
