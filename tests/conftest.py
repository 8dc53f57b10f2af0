"""Fixtures that every folder of tests shares, and the rule that a run meant to be complete skips nothing."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EPOCH = 1_700_000_000
"""The modification time of every file that `tree` makes, in seconds: 2023-11-14 22:13:20 UTC."""

MakeIso = Callable[..., Path]
RunImagefs = Callable[..., "subprocess.CompletedProcess[bytes]"]


def pytest_configure() -> None:
    """Processes that tests start run the package of this folder, wherever they are started, installed or not, and take a
    hangup as programs do, also where the tests themselves run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    root = str(Path(__file__).parent.parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """With IMAGEFS_NO_SKIP=1 a skipped test that needs FUSE or a foreign tool is a failure."""
    report = yield
    needs = item.get_closest_marker("fuse") or item.get_closest_marker("foreign")
    if report.skipped and needs and os.environ.get("IMAGEFS_NO_SKIP") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although IMAGEFS_NO_SKIP=1: {report.longrepr}"
    return report


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small folder: text, nothing, 100,000 random bytes, a link, a deep path, a long and a non-ASCII name."""
    top = tmp_path / "tree"
    deep = top / "docs" / "deep" / "er"
    deep.mkdir(parents=True)
    (top / "hello.txt").write_bytes(b"hello\n")
    (top / "empty").write_bytes(b"")
    (top / "random.bin").write_bytes(random.Random(1).randbytes(100_000))
    (top / "run.sh").write_bytes(b"#!/bin/sh\necho hi\n")
    (top / "run.sh").chmod(0o755)
    (deep / ("a long name " + "x" * 60 + ".text")).write_bytes(b"long\n")
    (top / "docs" / "Grüße.txt").write_bytes("Grüße\n".encode())
    (top / "link").symlink_to("docs/Grüße.txt")
    for path in [top, *top.rglob("*")]:
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    return top


@pytest.fixture
def make_iso(tmp_path: Path) -> MakeIso:
    """make_iso(folder, *options, tool="xorriso", name="disc.iso") -> the image; options as for mkisofs."""

    def make(folder: Path, *options: str, tool: str = "xorriso", name: str = "disc.iso") -> Path:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
        image = tmp_path / name
        command = ["xorriso", "-as", "mkisofs"] if tool == "xorriso" else [tool]
        subprocess.run([*command, "-quiet", *options, "-o", image, folder], check=True, capture_output=True)
        return image

    return make


@pytest.fixture
def run_imagefs() -> RunImagefs:
    """run_imagefs(*words, **subprocess options) -> the finished process, its outputs as bytes."""

    def run(*words: str | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60} | options
        return subprocess.run([sys.executable, "-m", "imagefs", *map(str, words)], **options)  # type: ignore[call-overload]

    return run


@pytest.fixture
def need() -> Callable[..., None]:
    """need("7zz", "bsdtar"): skip the test when one of the tools is not installed."""

    def check(*tools: str) -> None:
        for tool in tools:
            if not shutil.which(tool):
                pytest.skip(f"{tool} is not installed")

    return check
