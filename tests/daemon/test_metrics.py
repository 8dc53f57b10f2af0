"""The metrics, read by Prometheus' own parser."""

import os
import re
import threading
from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families

from imagefs import __version__, cache
from imagefs.daemon.config import Config
from imagefs.daemon.library import ImageStatus
from imagefs.daemon.metrics import STATES, Facts, Process, Summary, Totals, render, summary
from tests.daemon.fakes import STARTED, image_status

IMAGES = [
    image_status("a", "/a", "open", None, "iso9660", 1.0, 3, 40),
    image_status("b", "/b", "open", None, "iso9660", 1.0, 3, 40),
    image_status("c", "/c", "idle"),
    image_status('tricky "name"\\with\n\udcfflines', "/d", "failed", "damaged"),
    image_status("h", "/h", "hung", "no answer within 30 s"),
]


def said(images: Sequence[ImageStatus], totals: Totals) -> Summary:
    process = Process()
    try:
        return summary(Facts(None, "none", STARTED), Config(), images, totals, process.numbers())
    finally:
        process.close()


@pytest.fixture
def text() -> str:
    return render(said(IMAGES, Totals(7, 2, 1234)))


def test_values(text: str):
    counters = cache.shared().counters()
    samples = {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    changing = {
        name: samples.pop((f"imagefs_{name}", ()))
        for name in ("resident_memory_bytes", "cpu_seconds_total", "open_descriptors")
    }
    assert samples == {
        ("imagefs_build_info", (("version", __version__),)): 1,
        ("imagefs_start_time_seconds", ()): STARTED,
        ("imagefs_images", (("state", "idle"),)): 1,
        ("imagefs_images", (("state", "opening"),)): 0,
        ("imagefs_images", (("state", "open"),)): 2,
        ("imagefs_images", (("state", "failed"),)): 1,
        ("imagefs_images", (("state", "hung"),)): 1,
        ("imagefs_images", (("state", "waiting"),)): 0,
        ("imagefs_image_trouble", (("image", 'tricky "name"\\with\n\ufffdlines'), ("state", "failed"))): 1,
        ("imagefs_image_trouble", (("image", "h"), ("state", "hung"))): 1,
        ("imagefs_opens_total", ()): 7,
        ("imagefs_failures_total", ()): 2,
        ("imagefs_requests_total", ()): 1234,
        ("imagefs_cache_hits_total", ()): counters.hits,
        ("imagefs_cache_misses_total", ()): counters.misses,
        ("imagefs_cache_ahead_total", ()): counters.ahead,
        ("imagefs_cache_evictions_total", ()): counters.evictions,
        ("imagefs_cache_read_bytes_total", ()): counters.bytes_in,
        ("imagefs_cache_decoded_bytes_total", ()): counters.bytes_decoded,
        ("imagefs_cache_bytes", ()): counters.resident,
        ("imagefs_cache_limit_bytes", ()): counters.limit,
    }
    assert changing["open_descriptors"] == pytest.approx(len(os.listdir("/proc/self/fd")), abs=3)
    assert 10 << 20 < changing["resident_memory_bytes"] < 4 << 30
    assert changing["cpu_seconds_total"] > 0


def test_every_family_says_what_it_is_once(text: str):
    lines = text.splitlines()
    assert text.endswith("\n")
    assert {bytes([byte]) for byte in b"\r\t"} & {bytes([byte]) for byte in text.encode()} == set()
    seen = []
    for family in text_string_to_metric_families(text):
        total = "_total" if family.type == "counter" else ""  # the parser takes it off
        name = family.name + total
        assert family.type in ("counter", "gauge")
        assert family.documentation.endswith(".")
        assert re.fullmatch(r"imagefs(_[a-z]+)+", name), name
        assert lines.count(f"# TYPE {name} {family.type}") == 1
        assert {sample.name for sample in family.samples} == {name}
        assert all(sample.timestamp is None for sample in family.samples), "the textfile collector refuses times"
        seen.append(name)
    assert len(seen) == len(set(seen)) == len([line for line in lines if line.startswith("# HELP ")])


def test_many_images_are_few_series():
    images = [image_status(str(number), "/x", "open") for number in range(10_000)]
    text = render(said(images, Totals(0, 0, 0)))
    assert len(text) < 5000
    assert 'imagefs_images{state="open"} 10000\n' in text


def test_states_are_counted_whatever_they_are():
    images = [image_status(str(number), "/x", state) for number, state in enumerate(STATES)]
    assert said(images, Totals(0, 0, 0))["images"] == dict.fromkeys(STATES, 1)


def test_descriptors_are_counted_by_many_at_once():
    process = Process()
    found: set[object] = set()

    def count() -> None:
        for _ in range(200):
            found.add(process.numbers()["descriptors"])

    before = len(os.listdir("/proc/self/fd"))
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    process.close()
    assert found == {before}, "the count has the descriptor that it is made with"
