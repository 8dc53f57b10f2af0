"""What the daemon counts: as one object for programs, and in Prometheus' text format (version 0.0.4).

The names begin with imagefs_ throughout, also where an exporter of its own would say process_: node_exporter's textfile
collector puts them beside its own, and one family may not come from two places. No label takes a value per image but for
images in trouble, since 10,000 images would be as many series.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from imagefs import __version__, cache
from imagefs.daemon.config import Config

if TYPE_CHECKING:
    from imagefs.daemon.library import ImageStatus

STATES = ("idle", "opening", "open", "failed", "hung", "waiting")
TROUBLE = ("failed", "hung")

Summary = Mapping[str, Any]


class Facts(NamedTuple):
    """What stays the same as long as a daemon runs."""

    config: str | None
    """The file that it was configured by."""
    sandbox: str
    """How it is confined, in words."""
    started: float
    """In seconds since 1970 UTC."""


class Totals(NamedTuple):
    """What happened since the daemon began, with the images that are gone by now."""

    opens: int
    """Images that were opened, each time again."""
    failures: int
    """Openings that failed, and images that were given up because they hung."""
    requests: int
    """Requests of the kernel."""


class Process:
    """This process, as proc(5) has it. The files are opened once: a confined process could not do it any more."""

    def __init__(self) -> None:
        """Raises OSError where there is no /proc."""
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lock = threading.Lock()  # all listings have one place in the folder

    def numbers(self) -> dict[str, object]:
        """Memory in bytes, processor time in seconds, open descriptors."""
        resident = int(os.pread(self._statm, 200, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE")
        times = os.times()
        with self._lock:
            descriptors = len(os.listdir(self._descriptors))
        return {
            "resident_bytes": resident,
            "cpu_seconds": round(times.user + times.system, 2),
            "descriptors": descriptors,
        }

    def close(self) -> None:
        """Close the files."""
        os.close(self._statm)
        os.close(self._descriptors)


def record(image: ImageStatus, root: str | None) -> dict[str, object]:
    """An image with its counters, for JSON."""
    return {"folder": os.path.join(root or "", image.name), **image._asdict()}


def summary(
    facts: Facts, config: Config, images: Sequence[ImageStatus], totals: Totals, process: Mapping[str, object]
) -> Summary:
    """The daemon in numbers. Keys stay, and sizes are bytes, times seconds since 1970 UTC."""
    states = Counter(image.state for image in images)
    counters = cache.shared().counters()
    return {
        "version": __version__,
        "pid": os.getpid(),
        "root": config.root,
        **facts._asdict(),
        "watch": [watch._asdict() for watch in config.watch],
        "images": {state: states[state] for state in STATES},
        **totals._asdict(),
        "trouble": [{"name": i.name, "state": i.state, "error": i.error} for i in images if i.state in TROUBLE],
        "cache": {name: getattr(counters, name) for name in counters.__slots__},
        **process,
    }


# --- Prometheus ---------------------------------------------------------------------------------------------------------


class Family(NamedTuple):
    """Samples of one name: (labels, value)."""

    name: str
    kind: str
    """counter or gauge."""
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]


def render(said: Summary) -> str:
    """The metrics of a summary as text, without times, which the textfile collector does not take."""
    return "".join(line + "\n" for family in _families(said) for line in _lines(family))


def _families(said: Summary) -> Iterator[Family]:
    def one(name: str, kind: str, text: str, value: float) -> Family:
        return Family(f"imagefs_{name}", kind, text, [({}, value)])

    def many(name: str, kind: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Family:
        return Family(f"imagefs_{name}", kind, text, [({label: key}, value) for key, value in values])

    kept = said["cache"]
    yield many("build_info", "gauge", "Always 1; the version of imagefs.", "version", [(said["version"], 1)])
    yield one("start_time_seconds", "gauge", "When the daemon began, in seconds since 1970 UTC.", said["started"])
    yield many("images", "gauge", "Images by what they are doing.", "state", said["images"].items())
    yield Family(
        "imagefs_image_trouble",
        "gauge",
        "1 for each image that failed to open or hangs.",
        [({"image": image["name"], "state": image["state"]}, 1) for image in said["trouble"]],
    )
    yield one("opens_total", "counter", "Images that were opened.", said["opens"])
    yield one("failures_total", "counter", "Openings that failed and images that hung.", said["failures"])
    yield one("requests_total", "counter", "Requests of the kernel.", said["requests"])
    yield one("cache_hits_total", "counter", "Blocks that were in the cache.", kept["hits"])
    yield one("cache_misses_total", "counter", "Blocks that had to be decoded when asked for.", kept["misses"])
    yield one("cache_ahead_total", "counter", "Blocks that were decoded before anybody asked.", kept["ahead"])
    yield one("cache_evictions_total", "counter", "Blocks that made room for others.", kept["evictions"])
    yield one("cache_read_bytes_total", "counter", "Stored bytes that were read to be decoded.", kept["bytes_in"])
    yield one("cache_decoded_bytes_total", "counter", "Bytes that the decoders gave.", kept["bytes_decoded"])
    yield one("cache_bytes", "gauge", "Bytes in the cache.", kept["resident"])
    yield one("cache_limit_bytes", "gauge", "Bytes that may be in the cache.", kept["limit"])
    yield one("resident_memory_bytes", "gauge", "Resident memory of the daemon.", said["resident_bytes"])
    yield one("cpu_seconds_total", "counter", "Processor time of the daemon.", said["cpu_seconds"])
    yield one("open_descriptors", "gauge", "File descriptors that the daemon has open.", said["descriptors"])


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {_escaped(family.help)}"
    yield f"# TYPE {family.name} {family.kind}"
    for labels, value in family.samples:
        inside = ",".join(f'{key}="{_quoted(text)}"' for key, text in labels.items())
        yield f"{family.name}{{{inside}}} {value}" if inside else f"{family.name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    r"""The value of a label: \ and " and line feeds are escaped, and bytes that are no UTF-8 are shown as U+FFFD."""
    return _escaped(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")).replace('"', '\\"')
