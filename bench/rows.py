"""The rows of the benchmark. Their names are stable: results are compared over time."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench import jobs
from bench.material import BIG, BIG_BYTES, EROFS, ISO, SMALL, UDF
from bench.programs import EROFS as KERNEL
from bench.programs import FUSEISO, RATARMOUNT, Program, imagefs, mounted
from bench.twins import CHD_CODECS, CHDS, CSO, CUE, ECM, FAR, GZ, MDS, SECTORS, SLICE_BYTES, XZ

Job = Callable[[Path], float]


@dataclass(frozen=True)
class Contender:
    """One side of a comparison. `lacks` says why it cannot be run here, or None."""

    name: str
    measure: Callable[[], float]
    lacks: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Row:
    """One job; less is better."""

    name: str
    about: str
    ours: Contender
    peers: Sequence[Contender]
    unit: str = "s"


def _through(program: Program, job: Job, *, image: Path = ISO, cold: bool = False, name: str = "") -> Contender:
    """A job on a fresh mount, so that nothing is remembered from the round before."""

    def measure() -> float:
        jobs.warm(EROFS if program is KERNEL else SECTORS.get(image, image))
        with mounted(program, image) as folder:
            if cold:
                jobs.chill(image)
            return job(folder)

    return Contender(name or program.name, measure, program.lacks)


def _start(program: Program, image: Path = ISO) -> Contender:
    """From the start of the program to the listing of the root."""

    def measure() -> float:
        jobs.warm(image)
        start = time.perf_counter()
        with mounted(program, image):
            return time.perf_counter() - start

    return Contender(program.name, measure, program.lacks)


def _command(name: str, *words: object, image: Path = ISO) -> Contender:
    """A program that does the job by itself, its output thrown away."""

    def measure() -> float:
        jobs.warm(image)
        return jobs.timed(name, *words)

    return Contender(name, measure, _missing(name))


def _missing(name: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"{name} is not installed"


def _disk() -> Contender:
    """As many bytes of the image itself from the disk as a cold reader of its file needs: no mount can be much faster."""

    def measure() -> float:
        jobs.warm(ISO)
        jobs.chill(ISO)
        return jobs.timed("dd", f"if={ISO}", "of=/dev/null", "bs=1M", f"count={BIG_BYTES >> 20}")

    return Contender("dd of the image", measure)


def _per_gigabyte(contender: Contender, size: int) -> Contender:
    """Seconds for each 10^9 bytes, so that jobs of different sizes can be compared."""
    return replace(contender, measure=lambda: contender.measure() / size * 1e9)


def _decode(name: str, *, reader: bool) -> Contender:
    """The whole CSO, decoded without a mount."""

    def measure() -> float:
        jobs.warm(CSO)
        return jobs.decode_cso(CSO, reader=reader) / ISO.stat().st_size * 1e9

    return Contender(name, measure)


def _chd_row(codec: str) -> Row:
    """A whole CHD in order: against the libraries alone on all cores, and against chdman where it knows the codec."""
    image, is_cd = CHDS[codec], codec.startswith("cd")

    def side(name: str, measure: Job, lacks: Callable[[], str | None] = lambda: None) -> Contender:
        def measured() -> float:
            jobs.warm(image)
            return measure(image) / SLICE_BYTES * 1e9

        return Contender(name, measured, lacks)

    verb = "extractcd" if is_cd else "extractraw"
    peers = [side("its libraries alone", partial(jobs.decode_chd, reader=False))]
    if codec != "zstd":  # chdman 0.251 does not know it
        peers.append(side(f"chdman {verb}", partial(jobs.chdman, command=verb), _missing("chdman")))
    about = f"read a whole CHD ({codec})"
    return Row(f"chd-{codec}", about, side("imagefs", partial(jobs.decode_chd, reader=True)), peers, "s/GB")


def _seek_row(name: str, image: Path, program: str) -> Row:
    """Reads all over a compressed image of SLICE_BYTES."""

    def side(title: str, measure: Callable[[], float], lacks: Callable[[], str | None] = lambda: None) -> Contender:
        def measured() -> float:
            jobs.warm(image)
            return measure()

        return Contender(title, measured, lacks)

    ours = side("imagefs", partial(jobs.seek, image, SLICE_BYTES))
    peer = side(f"{program} -dc", partial(jobs.seek_by_unpacking, image, SLICE_BYTES, program), _missing(program))
    return Row(name, f"open a {image.suffix}, 8 reads all over it", ours, [peer])


def rows(command: Sequence[str]) -> list[Row]:
    """Every row, with imagefs started by `command`."""
    ours = imagefs(command)

    def compare(
        name: str, about: str, job: Job, *peers: Program, more: Sequence[Contender] = (), cold: bool = False
    ) -> Row:
        sides = [_through(peer, job, cold=cold) for peer in peers]
        return Row(name, about, _through(ours, job, cold=cold), [*sides, *more])

    def weigh(name: str, about: str, field: str) -> Row:
        job = partial(jobs.weigh_after_find, field=field)
        return Row(name, about, _through(ours, job), [_through(p, job) for p in (FUSEISO, RATARMOUNT)], "MiB")

    listing = _command("7zz", "l", ISO.resolve())
    small = _command("7zz", "x", "-so", ISO.resolve(), SMALL)
    big = _command("7zz", "x", "-so", ISO.resolve(), BIG)
    udf_listing = _command("7zz", "l", "-tudf", UDF.resolve(), image=UDF)
    udf_big = _command("7zz", "x", "-so", "-tudf", UDF.resolve(), BIG, image=UDF)
    find_in_iso = _through(ours, jobs.find, name="imagefs, its ISO")
    big_in_iso = _through(ours, jobs.read_big, name="imagefs, its ISO")
    inflate = _decode("bare inflate loop", reader=False)
    reader = _decode("imagefs", reader=True)
    cso_mount = _per_gigabyte(_through(ours, jobs.read_big, image=CSO), BIG_BYTES)
    return [
        compare("find-first", "find -ls, 50,000 files", jobs.find, FUSEISO, RATARMOUNT, KERNEL, more=[listing]),
        compare("ls-lR", "ls -lR, 50,000 files", jobs.list_recursively, FUSEISO, RATARMOUNT, KERNEL),
        compare("tar-small", "tar, 10,000 small files", jobs.tar, FUSEISO, KERNEL, more=[small]),
        compare("tar-small-cold", "the same, caches dropped", jobs.tar, FUSEISO, KERNEL, cold=True),
        compare("seq", "read 500 MiB", jobs.read_big, FUSEISO, RATARMOUNT, KERNEL, more=[big]),
        compare("seq-cold", "the same, caches dropped", jobs.read_big, FUSEISO, KERNEL, more=[_disk()], cold=True),
        compare("random-4k", "20,000 random reads of 4 KiB", jobs.read_randomly, FUSEISO, KERNEL),
        compare("parallel-4", "four readers, 125 MiB each", jobs.read_in_parallel, FUSEISO, KERNEL),
        Row("mount", "start to first listing", _start(ours), [_start(FUSEISO), _start(RATARMOUNT)]),
        weigh("rss", "resident memory after find", "VmRSS"),
        weigh("rss-anon", "the part of it that is not files", "RssAnon"),
        Row("cso-mount", "read a CSO's 500 MiB file", cso_mount, [inflate], "s/GB"),
        Row("cso-reader", "decode a whole CSO through the reader", reader, [inflate], "s/GB"),
        Row(
            "bin-seq",
            "read 500 MiB of a BIN",
            _through(ours, jobs.read_big, image=CUE),
            [big_in_iso],
        ),
        Row("mdf-seq", "read 500 MiB of an MDF", _through(ours, jobs.read_big, image=MDS), [big_in_iso]),
        Row("ecm-seq", "read 500 MiB of an ECM", _through(ours, jobs.read_big, image=ECM), [big_in_iso]),
        Row(
            "udf-find",
            "find -ls, 50,000 files of UDF",
            _through(ours, jobs.find, image=UDF),
            [udf_listing, find_in_iso],
        ),
        Row("udf-seq", "read 500 MiB of UDF", _through(ours, jobs.read_big, image=UDF), [udf_big, big_in_iso]),
        *map(_chd_row, CHD_CODECS),
        _seek_row("gz-seek", GZ, "gzip"),
        _seek_row("xz-seek", XZ, "xz"),
        Row(
            "xz-first",
            "start to first listing, 4 GiB in a .xz",
            _start(ours, FAR),
            [_command("xz", "-t", FAR.resolve(), image=FAR)],
        ),
    ]
