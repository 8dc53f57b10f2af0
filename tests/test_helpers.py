"""Helper processes: what they give is what the reader itself gives, and nothing depends on them.

Each test runs in a process of its own, since helpers are made before there are threads.
"""

import subprocess
import sys
import textwrap

import pytest

BLOCKS = """
    import os, signal, threading, time
    from imagefs import helpers
    from imagefs.cache import shared
    from imagefs.errors import DamagedError
    from imagefs.packed import PackedReader

    HERE = os.getpid()

    class Blocks(PackedReader):
        '''Each block of 64 KiB holds its number and whether a helper decoded it.'''
        bad = -1
        slow = 0.0

        def __init__(self, blocks: int = 256) -> None:
            super().__init__(blocks << 16, 1 << 16)

        def unpack(self, first: int, count: int) -> bytes:
            if os.getpid() != HERE:
                time.sleep(self.slow)
            if first <= self.bad < first + count:
                raise DamagedError(self.bad, "bad")
            self.count_in(count)
            helped = b"h" if os.getpid() != HERE else b"o"
            return b"".join((b"%07d" % block + helped) * (1 << 13) for block in range(first, first + count))

    def helpers_now() -> list[str]:
        with open(f"/proc/self/task/{HERE}/children") as file:
            return file.read().split()
"""

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="helpers are forks")


def run(code: str) -> list[str]:
    """The lines that a program prints which begins with BLOCKS."""
    program = textwrap.dedent(BLOCKS) + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_helper_decodes_what_is_worth_it():
    assert run("""
        reader = Blocks()
        helpers.start(2)
        content = reader.pread(3 << 16, 8 << 16)
        print(*[content[at << 16:][:8].decode() for at in range(8)])
        print(shared().counters().bytes_in)
        helpers.stop()
        print(helpers_now())
    """) == [" ".join(f"{block:07}h" for block in range(3, 11)), "8", "[]"]


def test_a_reader_made_later_decodes_for_itself():
    assert run("""
        first = Blocks()
        helpers.start(1)
        print(Blocks().pread(0, 4 << 16)[:8].decode(), first.pread(0, 4 << 16)[:8].decode())
    """) == ["0000000o 0000000h"]


def test_without_a_reader_there_are_no_helpers():
    assert run("helpers.start(4); print(helpers.count(), helpers_now())") == ["0 []"]


def test_where_no_process_can_be_made_the_reader_decodes_for_itself():
    assert run("""
        def refuse():
            raise BlockingIOError(11, "Resource temporarily unavailable")

        reader = Blocks()
        os.fork = refuse
        helpers.start(2)
        print(helpers.count(), reader.pread(0, 4 << 16)[:8].decode())
    """) == ["0 0000000o"]


def test_a_damaged_block_spoils_the_reads_that_touch_it():
    assert run("""
        reader = Blocks()
        reader.bad = 5
        helpers.start(2)
        for first, count in ((0, 5), (4, 4), (6, 4)):
            try:
                print(reader.pread(first << 16, count << 16)[:7].decode())
            except DamagedError as error:
                print(error.where)
    """) == ["0000000", "5", "0000006"]


def test_a_helper_that_is_killed_is_done_without():
    assert run("""
        reader = Blocks()
        helpers.start(2)
        for number in helpers_now():
            os.kill(int(number), signal.SIGKILL)
        print([reader.pread(at << 16, 4 << 16)[:8].decode() for at in (0, 8, 16)], helpers.count(), helpers_now())
    """) == ["['0000000o', '0000008o', '0000016o'] 0 []"]


def test_a_helper_that_hangs_is_ended():
    assert run("""
        reader = Blocks()
        Blocks.slow, helpers.DEADLINE_SECONDS = 30.0, 0.2
        helpers.start(1)
        start = time.monotonic()
        print(reader.pread(0, 4 << 16)[:8].decode(), time.monotonic() - start < 5, helpers_now())
    """) == ["0000000o True []"]


def test_reading_forward_is_shared_by_all_helpers():
    assert run("""
        reader = Blocks(1024)
        helpers.start(3)
        content = b"".join(reader.pread(at << 16, 2 << 16) for at in range(0, 1024, 2))
        numbers = [content[at << 16 : (at << 16) + 7] for at in range(1024)]
        print(numbers == [b"%07d" % block for block in range(1024)])
        helped = [content[(at << 16) + 7] for at in range(1024)].count(ord("h"))
        print(helped > 100)
    """) == ["True", "True"]


def test_helpers_end_with_the_process_that_made_them():
    assert run("""
        reader = Blocks()
        told, tell = os.pipe()
        child = os.fork()
        if not child:
            helpers.start(2)
            os.write(tell, " ".join(open(f"/proc/self/task/{os.getpid()}/children").read().split()).encode())
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        numbers = os.read(told, 100).decode().split()
        end = time.monotonic() + 5
        def alive(number):
            try:
                return open(f"/proc/{number}/stat").read().rpartition(")")[2].split()[0] != "Z"
            except OSError:
                return False
        while any(map(alive, numbers)) and time.monotonic() < end:
            time.sleep(0.01)
        print(len(numbers), [number for number in numbers if alive(number)])
    """) == ["2 []"]
