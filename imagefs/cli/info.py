"""Tell what an image is: its files, formats, tracks, volumes, labels and dates.

Works also for what cannot be mounted; the exit status then says so. --why adds what every probe answered.
Addresses and lengths of tracks are sectors, and the same as minutes:seconds:frames (75 frames a second; LBA 0 is 00:02:00).
"""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from imagefs.cli.common import add_image_arguments, opened
from imagefs.cli.output import printable, stdout, write
from imagefs.cli.progress import size_text
from imagefs.describe import Facts, answers_of, facts_of, facts_of_failure, json_of
from imagefs.errors import ImageError
from imagefs.formats import Answer

_WIDTH = 10
"""Columns of the words on the left."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="an object that programs can read")
    parser.add_argument("--why", action="store_true", help="what every probe answered, and why")
    add_image_arguments(parser)


def run(args: argparse.Namespace) -> int:
    args.answers = answers = list[Answer]()
    try:
        with opened(args) as image:
            facts, failure = facts_of(image)
    except ImageError as error:
        facts, failure = facts_of_failure(args.image, error, answers), error
    if args.why:
        facts["probes"] = answers_of(answers)
    if args.json:
        stdout().write(json_of(facts))
    else:
        write("".join(printable(line) + "\n" for line in text_of(facts)))
    if failure is not None:
        args.report.fail(failure)
    status: int = args.report.status
    return status


def text_of(facts: Facts) -> Iterator[str]:
    """The lines that people read; why nothing can be shown is said on standard error."""
    yield _line("image", facts["path"])
    for file in facts.get("files", ()):
        yield _line("file", f"{file['path']}, {_size(file['size'])}")
    if "formats" in facts:
        chain = " > ".join(step["title"] for step in facts["formats"])
        yield _line("format", chain or "none: plain sectors")
        yield _line("content", _size(facts["size"]))
    if facts.get("disc"):
        yield from _disc_lines(facts["disc"])
    for entry in facts.get("recognised", ()):
        yield _line("recognised", f"{entry['title']}: {entry['reason']}")
    for volume in facts.get("volumes", ()):
        yield from _volume_lines(volume)
    for warning in facts.get("warnings", ()):
        yield _line("warning", warning)
    yield from _probe_lines(facts.get("probes", ()))


def _disc_lines(disc: Facts) -> Iterator[str]:
    yield _line("disc", ", ".join(filter(None, (disc["medium"], *_names(disc)))))
    if disc["catalog"]:
        yield _line("catalog", disc["catalog"])
    yield _line("", f"{'disc' if disc['is_set'] else 'session':7}  {_HEADINGS}  flags, title")
    for session in disc["sessions"]:
        for track in session["tracks"]:
            yield _line("", _track_line(session["number"], track))
        yield _line(
            "", f"{session['number']:7}  {'out':>5}  {'':10}  {session['lead_out']:8}  {session['lead_out_msf']:>9}"
        )


_HEADINGS = f"track  mode        {'start':>8}  {'msf':>9}  {'sectors':>8}  {'length':>9}  pregap  {'isrc':12}"


def _track_line(session: int, track: Facts) -> str:
    words = (*track["flags"], *(["subchannel"] if track["subchannel"] else ()), *_names(track))
    cells = (
        f"{session:7}  {track['number']:5}  {track['mode']:10}  {track['start']:8}  {track['start_msf']:>9}",
        f"{track['length']:8}  {track['length_msf']:>9}  {track['pregap']:6}  {track['isrc']:12}  {' '.join(words)}",
    )
    return "  ".join(cells).rstrip()


def _volume_lines(volume: Facts) -> Iterator[str]:
    filesystem = volume["filesystem"]
    if filesystem is None:
        yield _line(f"volume {volume['number']}", volume["error"] or "no file system that imagefs reads")
        return
    tree = f" ({filesystem['tree']})" if filesystem["tree"] else ""
    label = f", label {filesystem['label']}" if filesystem["label"] else ""
    yield _line(f"volume {volume['number']}", f"{filesystem['kind']}{tree}{label}, {_size(filesystem['size'])}")
    if filesystem["uuid"]:
        yield _line("", f"uuid: {filesystem['uuid']}")
    if volume["trees"] != filesystem["details"].get("trees", volume["trees"]):
        yield _line("", f"all trees: {', '.join(volume['trees'])}")
    if volume["states"]:
        yield _line("", f"states: {', '.join(volume['states'])}")
    for key, value in filesystem["details"].items():
        yield from (_line("", line) for line in _detail_lines(key.replace("_", " "), value))


def _detail_lines(key: str, value: Any) -> Iterator[str]:
    """A detail of a file system: a list of objects has a line for each, what is empty has none."""
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        for item in value:
            yield from _detail_lines(key, item)
    elif isinstance(value, list):
        yield f"{key}: {', '.join(map(str, value))}"
    elif isinstance(value, dict):
        known = [f"{name} {item}" for name, item in value.items() if item not in (None, "")]
        if known:
            yield f"{key}: {', '.join(known)}"
    elif value not in (None, ""):
        yield f"{key}: {value}"


def _probe_lines(probes: Sequence[Facts]) -> Iterator[str]:
    for probe in probes:
        score = "no" if probe["score"] is None else probe["score"]
        reason = ": ".join(filter(None, (probe["reason"], probe["error"])))
        yield _line("probe", f"{probe['candidate'] or '(volume)'}  {probe['format']:8}  {score:>3}  {reason}".rstrip())


def _line(word: str, text: str) -> str:
    return f"{word:{_WIDTH}} {text}"


def _names(facts: Facts) -> tuple[str, ...]:
    """The texts of a disc or a track; what a songwriter is would not be seen otherwise."""
    names = [f'"{text}"' for text in (facts["title"], facts["performer"]) if text]
    return (*names, *([f'by "{facts["songwriter"]}"'] if facts["songwriter"] else ()))


def _size(count: int) -> str:
    return f"{count} bytes" if count < 1024 else f"{size_text(count)} ({count} bytes)"
