"""Completion for bash: one function that knows every command's words, made from their parsers.

It needs nothing but bash: `=` is a word break of readline, so the word under the cursor is taken from the line itself, and
the answer is cut where readline believes the word to begin.
"""

from collections.abc import Iterator

from imagefs.cli.documents.catalogue import Command, Takes, Word, commands, view_options

_SCRIPT = r"""# bash completion for imagefs, made from the parsers of its commands
_imagefs() {
    local line=${COMP_LINE:0:COMP_POINT} tokens token= prev command= kind= choices= flags= valued= follows= image= place=0 i
    local -a arguments=()
    read -a tokens <<<"$line" # without -r: a blank in a name is written with a backslash
    [[ $line == *[[:space:]] ]] && tokens+=('')
    local last=$((${#tokens[@]} - 1))
    token=${tokens[last]} prev=${tokens[last - 1]} command=${tokens[1]}
    COMPREPLY=()
    if ((last == 1)); then
        compopt +o default
        COMPREPLY=($(compgen -W '@NAMES@ help --help --version' -- "$token"))
        return
    fi
    case $command in
@COMMANDS@
        help)
            arguments=(choice) choices='@NAMES@'
            ;;
    esac
    for ((i = 2; i < last; i++)); do
        if [[ ${tokens[i]} == -- && $follows ]]; then
            ((i + 1 == last)) && COMPREPLY=($(compgen -c -- "$token"))
            return
        fi
        if [[ ${tokens[i]} != -* && " $valued " != *" ${tokens[i - 1]} "* ]]; then
            ((place++)) || image=${tokens[i]/#~\//$HOME/}
        fi
    done
    if [[ ! $kind ]]; then
        if [[ $token == -* ]]; then
            kind=choice choices=$flags
        elif ((place < ${#arguments[@]})); then
            kind=${arguments[place]}
        elif ((${#arguments[@]})) && [[ ${arguments[-1]} == many* ]]; then
            kind=${arguments[-1]}
        fi
    fi
    case ${kind#many-} in
        file) ;; # what readline does by itself
        folder) compopt -o dirnames ;;
        mount)
            while IFS= read -r line; do
                [[ $line == "$token"* ]] && COMPREPLY+=("$line")
            done < <(findmnt --noheadings --list --output TARGET --types fuse.imagefs 2>/dev/null)
            compopt -o filenames
            ;;
        inside)
            mapfile -t COMPREPLY < <("${tokens[0]}" complete-path "$image" "$token" 2>/dev/null)
            compopt +o default -o filenames
            [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace
            ;;
        choice)
            compopt +o default
            COMPREPLY=($(compgen -W "$choices" -- "$token"))
            ;;
        view) _imagefs_view "$token" ;;
        *) compopt +o default ;;
    esac
}
_imagefs_view() {
    local before=${1%"${1##*,}"} part=${1##*,} values='@VIEW@'
    case $part in
@VALUES@
        *=*) values= ;;
    esac
    [[ $part == *=* ]] && before+=${part%%=*}= part=${part#*=}
    COMPREPLY=($(compgen -P "$before" -W "$values" -- "$part"))
    compopt +o default -o nospace
    if [[ $COMP_WORDBREAKS == *=* ]]; then
        local known=${1%"${1##*=}"}
        COMPREPLY=("${COMPREPLY[@]#"$known"}")
    fi
}
complete -o default -F _imagefs imagefs
"""


def script() -> str:
    """The file `imagefs` of bash's completions."""
    known = commands()
    lines = [line for command in known for line in _case(command)]
    values = [f"        {name}*) values='{' '.join(choices)}' ;;" for name, _, choices in view_options() if choices]
    text = _SCRIPT.replace("@NAMES@", " ".join(command.name for command in known))
    text = text.replace("@COMMANDS@", "\n".join(lines)).replace("@VALUES@", "\n".join(values))
    return text.replace("@VIEW@", " ".join(name for name, _, _ in view_options()))


def _case(command: Command) -> Iterator[str]:
    """What is known of a command: its flags, those of them that take something, its arguments, and what `prev` takes."""
    valued = [option for option in command.options if option.metavar]
    yield f"        {command.name})"
    yield f"            flags='{_flags(command.options)}'"
    yield f"            valued='{_flags(valued)}' follows={'yes' if command.follows else ''}"
    yield f"            arguments=({' '.join(map(_argument, command.arguments))})"
    for word in command.arguments:
        if word.choices:
            yield f"            choices='{' '.join(word.choices)}'"
    if valued:
        yield "            case $prev in"
        for option in valued:
            choices = f" choices='{' '.join(option.choices)}'" if option.choices else ""
            yield f"                {'|'.join(option.flags)}) kind={option.takes.value}{choices} ;;"
        yield "            esac"
    yield "            ;;"


def _flags(options: tuple[Word, ...] | list[Word]) -> str:
    return " ".join(flag for option in options for flag in option.flags)


def _argument(word: Word) -> str:
    takes = Takes.FILE if word.takes is Takes.OTHER else word.takes
    return f"many-{takes.value}" if word.many else takes.value
