"""The words of -o, as users of mount(8) write them."""

import pytest

from imagefs.errors import UsageError
from imagefs.options import Options, describe, parse


def test_words_and_values() -> None:
    options = parse(["ro,allow_other,uid=1000,gid=5,umask=022", "fmask=0133,dmask=77,tree=joliet,layout=tree,volume=2"])
    assert options == Options(
        allow_other=True, uid=1000, gid=5, umask=0o22, fmask=0o133, dmask=0o77, tree="joliet", layout="tree", volume=2
    )


def test_later_words_win_and_empty_ones_do_not_matter() -> None:
    assert parse(["uid=1,,uid=2,", ""]) == Options(uid=2)
    assert parse([]) == Options()


def test_masks_leave_what_is_not_taken_away() -> None:
    assert (Options().file_mask, Options().directory_mask) == (0o7777, 0o7777)
    options = parse(["umask=022,dmask=077"])
    assert (options.file_mask, options.directory_mask) == (0o7755, 0o7700)
    assert parse(["umask=077,fmask=0"]).file_mask == 0o7777


def test_words_of_mount_and_fstab_are_accepted() -> None:
    words = "rw,nodev,nosuid,defaults,nofail,_netdev,relatime,user,comment=hello"
    assert parse([words, "x-systemd.automount,x-gvfs-show,X-mount.mkdir"]) == Options()


def test_owners_are_numbers_or_names() -> None:
    assert parse(["uid=root,gid=root"]) == Options(uid=0, gid=0)
    assert parse(["uid=4294967294"]).uid == 4294967294


def test_names_that_mount_knows_for_iso9660() -> None:
    assert parse(["map=n"]).map == "normal"
    assert parse(["map=o"]).map == "off"
    assert parse(["map=a"]).map == "acorn"
    assert parse(["iocharset=Shift-JIS"]).iocharset == "shift_jis"
    assert parse(["noexec"]).noexec


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("colour=red", "'colour=red' is not known"),
        (
            "uid=me too",
            "uid=me too is not understood: it takes the name of a user of this system, or a number up to 429",
        ),
        (
            "gid=us",
            "gid=us is not understood: it takes the name of a group of this system, or a number up to 4294967294",
        ),
        ("uid=-1", "uid=-1 is not understood"),
        ("uid=", "uid= is not understood"),
        ("uid=4294967295", "uid=4294967295 is not understood"),
        ("gid=4294967296", "gid=4294967296 is not understood"),
        ("gid=" + "9" * 5000, "is not understood"),
        ("threads=65", "threads=65 is not understood: it takes a number from 1 to 64"),
        ("threads=1e3", "threads=1e3 is not understood: it takes a number from 1 to 64"),
        ("iocharset=hex", "iocharset=hex is not understood: it takes a character set that Python knows"),
        ("commentary", "'commentary' is not known"),
        ("umask=999", "umask=999 is not understood: it takes permission bits in octal, as 022"),
        ("fmask=0o22", "fmask=0o22 is not understood"),
        ("dmask=1777", "dmask=1777 is not understood"),
        ("umask=", "umask= is not understood"),
        ("tree=ntfs", "tree=ntfs is not understood: it takes rr|joliet|evd|iso|udf|hfs"),
        ("volume=0", "volume=0 is not understood: it takes a number from 1"),
        ("volume=\N{ARABIC-INDIC DIGIT THREE}", "is not understood"),
        ("session=1_0", "session=1_0 is not understood"),
        ("iocharset=klingon", "iocharset=klingon is not understood"),
        ("allow_other=1", "option allow_other takes no value"),
    ],
)
def test_others_are_refused_by_name(word: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse([f"ro,{word}"])
    assert said in str(raised.value)


def test_commas_inside_quotes_belong_to_the_word() -> None:
    with pytest.raises(UsageError, match="a=x,y"):
        parse(['a="x,y"'])


def test_every_option_is_described() -> None:
    described = {word.partition("=")[0] for word, _ in describe()}
    fields = set(Options.__dataclass_fields__)
    assert described == fields | {"nosandbox"}  # sandbox the other way round


@pytest.mark.parametrize(
    ("words", "sandbox"), [("ro", None), ("sandbox", True), ("nosandbox", False), ("nosandbox,sandbox", True)]
)
def test_confinement_can_be_asked_for_and_refused(words: str, sandbox: bool | None) -> None:
    assert parse([words]).sandbox is sandbox
