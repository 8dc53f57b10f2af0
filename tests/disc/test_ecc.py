"""EDC and ECC beside the encoder of the tests, which goes byte by byte, and known answers from real discs' routine."""

import hashlib
import random

import pytest

from imagefs.disc import ecc
from imagefs.disc.layouts import SYNC
from tests.builders.sectors import form1, form2, header, mode1

CHANCE = random.Random(5)
MODE1 = [mode1(CHANCE.randrange(300_000), CHANCE.randbytes(2048)) for _ in range(9)]
FORM1 = [form1(CHANCE.randrange(300_000), CHANCE.randbytes(2048), CHANCE.randbytes(4)) for _ in range(9)]


def test_known_answers() -> None:
    ramp = bytes(index & 0xFF for index in range(2048))
    head = SYNC + header(16, 1) + ramp
    body = head + ecc.edc(head) + bytes(8)
    assert ecc.edc(head).hex() == "5e935192"
    sector = body + ecc.parity(body[12:])
    assert sector[2076:2084].hex() == "4213289421" + "72d586"
    assert sector[2248:2256].hex() == "46e94486f12ae20b"
    assert hashlib.sha1(sector).hexdigest() == "aadccaada56bb68493eb1319a30e4605f79f5e9f"


def test_an_empty_form_1_sector() -> None:
    body = b"\0\0\x08\0" * 2 + bytes(2048)
    sector = SYNC + header(0, 2) + body + ecc.edc(body)
    sector += ecc.parity(bytes(4) + sector[16:])
    assert hashlib.sha1(sector).hexdigest() == "84c168fbad2589a925479ad0515f7f88f427edb0"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 9])
def test_many_sectors_at_once(count: int) -> None:
    bodies = b"".join(sector[12:2076] for sector in MODE1[:count])
    assert ecc.parity(bodies) == b"".join(sector[2076:] for sector in MODE1[:count])
    bodies = b"".join(bytes(4) + sector[16:2076] for sector in FORM1[:count])
    assert ecc.parity(bodies) == b"".join(sector[2076:] for sector in FORM1[:count])


def test_edc_of_all_kinds_of_sectors(monkeypatch: pytest.MonkeyPatch) -> None:
    two = form2(7, CHANCE.randbytes(2324))
    ranges = [(MODE1[0], 0, 2064), (FORM1[0], 16, 2072), (two, 16, 2348)]
    for function in (ecc._edc_function(), ecc._edc_of_python):
        monkeypatch.setattr(ecc, "_edc_function", lambda chosen=function: chosen)
        for sector, first, end in ranges:
            assert ecc.edc(sector[first:end]) == sector[end : end + 4]
