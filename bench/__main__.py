"""python -m bench [--rounds N] [--rows GLOB]... [--imagefs COMMAND] [--busy] [--list] [--readme]"""

import argparse
import contextlib
import fnmatch
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence

from bench import many, material, report, twins
from bench.rows import Contender, Row, rows


def measure_row(row: Row, rounds: int) -> list[report.Result]:
    """All rounds of a row, in turn, every second one in the opposite order."""
    sides: list[Contender] = [row.ours]
    for peer in row.peers:
        if why := peer.lacks():
            print(f"{row.name:15} without {peer.name}: {why}", flush=True)
        else:
            sides.append(peer)
    figures: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else sides[::-1]:
            figures[side.name].append(_figure(side))
    own = figures[row.ours.name]
    return [
        report.result(row.name, row.about, row.unit, peer.name, list(zip(own, figures[peer.name], strict=True)))
        for peer in sides[1:]
    ]


def _figure(side: Contender) -> float:
    try:
        return side.measure()
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace") if isinstance(error.stderr, bytes) else str(error.stderr or "")
        raise RuntimeError(f"{side.name}: {shlex.join(error.cmd)}: {said.strip()[-300:] or error}") from error


def main(words: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 when a row could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="compare imagefs with other programs")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each row is measured (default 3)")
    parser.add_argument("--rows", action="append", default=[], metavar="GLOB", help="only these rows; may be repeated")
    parser.add_argument("--imagefs", default=f"{sys.executable} -m imagefs", metavar="COMMAND")
    parser.add_argument("--busy", action="store_true", help="keep one processor busy meanwhile")
    parser.add_argument("--list", action="store_true", help="name the rows")
    parser.add_argument("--readme", action="store_true", help="put the results of the last run into README.md")
    args = parser.parse_args(words)
    if args.readme:
        from tools.readme import replace

        replace("bench", report.markdown(report.load()))
        return 0
    wanted = [
        row
        for row in [*rows(shlex.split(args.imagefs)), *many.rows(shlex.split(args.imagefs))]
        if not args.rows or any(fnmatch.fnmatchcase(row.name, glob) for glob in args.rows)
    ]
    if args.list:
        print("\n".join(f"{row.name:15} {row.about}" for row in wanted))
        return 0
    material.prepare()
    twins.prepare()
    with busy() if args.busy else contextlib.nullcontext():
        results, failed = _measure(wanted, args.rounds)
    path = report.save(results, busy=args.busy, keep=bool(args.rows))
    print(f"written to {os.fspath(path)}")
    return int(failed or not results)


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Something else that runs all the time."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        yield
        other.kill()


def _measure(wanted: Sequence[Row], rounds: int) -> tuple[list[report.Result], bool]:
    """The results of the rows, printed as they come, and whether some could not be measured."""
    results, failed = [], False
    print(report.HEADER, flush=True)
    for row in wanted:
        try:
            found = measure_row(row, rounds)
        except (RuntimeError, OSError) as error:
            print(f"{row.name:15} FAILED: {error}", flush=True)
            failed = True
            continue
        for entry in found:
            print(report.line(entry), flush=True)
        results += found
    return results, failed


if __name__ == "__main__":
    sys.exit(main())
