"""The sector encoder of the tests against known answers, computed by a routine that reproduces real discs' sectors."""

import hashlib

import pytest

from tests.builders.sectors import edc, form1, form2, mode1

RAMP = bytes(index & 0xFF for index in range(2048))


@pytest.mark.parametrize(
    ("sector", "code_at", "code", "sha1"),
    [
        (mode1(0, bytes(2048)), 2064, "c513682b", "d9ee3c3ce5f425e5adb786706f65f363fd785695"),
        (mode1(16, RAMP), 2064, "5e935192", "aadccaada56bb68493eb1319a30e4605f79f5e9f"),
        (form1(0, bytes(2048)), 2072, "0b888194", "84c168fbad2589a925479ad0515f7f88f427edb0"),
        (form2(0, bytes(2324)), 2348, "3f13b0be", "0abdae402af41c00fcb7aa9576184b3fb4cb5d0b"),
    ],
    ids=["mode1-zeros", "mode1-ramp", "form1", "form2"],
)
def test_known_sectors(sector: bytes, code_at: int, code: str, sha1: str) -> None:
    assert len(sector) == 2352
    assert sector[code_at : code_at + 4].hex() == code
    assert hashlib.sha1(sector).hexdigest() == sha1


def test_edc_covers_sync_and_header_in_mode_1() -> None:
    sector = mode1(16, RAMP)
    assert edc(sector[:2064]) == sector[2064:2068]
