"""Show imagefs at work: mount an image, look into it, compare a file with its original, unmount.

python tools/demo.py          makes a small ISO image below build/demo
python tools/demo.py IMAGE    takes yours
"""

import hashlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

IMAGEFS = [sys.executable, "-m", "imagefs"]
WORK = Path("build/demo")
LISTED = 12


def say(text: str) -> None:
    print(f"\n* {text}", flush=True)


def run(*words: str) -> None:
    """Run a command as a user would type it. A failure has said its reason on standard error."""
    print("  $", " ".join(words).replace(" ".join(IMAGEFS), "imagefs"), flush=True)
    if status := subprocess.run(words, check=False).returncode:
        sys.exit(f"demo: that failed with status {status}")


def make_original(folder: Path) -> None:
    """A folder with text, a link, a name that is not ASCII, and 8 MiB that no tool can guess."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "letters").mkdir(parents=True)
    (folder / "read me.txt").write_text("This file lies in a disc image.\n")
    (folder / "letters" / "grüße.txt").write_text("Grüße aus dem Abbild\n")
    (folder / "latest").symlink_to("letters/grüße.txt")
    (folder / "film.bin").write_bytes(random.Random(1).randbytes(8 << 20))  # noqa: S311


def make_image(folder: Path, image: Path) -> None:
    """Let another project's program write the image: xorriso, else genisoimage."""
    program = next((p for p in ("xorriso", "genisoimage", "mkisofs") if shutil.which(p)), None)
    if program is None:
        sys.exit("demo: neither xorriso nor genisoimage is here to make an image; give one: make demo IMAGE=disc.iso")
    words = [program, "-as", "mkisofs"] if program == "xorriso" else [program]
    image.unlink(missing_ok=True)
    run(*words, "-quiet", "-R", "-J", "-V", "DEMO", "-o", str(image), str(folder))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_file(root: Path) -> Path | None:
    """The first regular file of a tree that holds anything."""
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink() and path.stat().st_size:
                return path
    return None


def compare(mount: Path, original: Path | None, image: Path) -> None:
    """One file: through the mount, and from where it came (else, as the command line reads it)."""
    path = mount / "film.bin" if original else first_file(mount)
    if path is None:
        say("there is no file in it to read")
        return
    inside = path.relative_to(mount)
    say(f"read {inside} through the mount ({path.stat().st_size:,} bytes), and compare:")
    through_mount = sha256(path)
    if original:
        other, source = sha256(original / inside), "the original"
    else:
        content = subprocess.run([*IMAGEFS, "cat", str(image), str(inside)], stdout=subprocess.PIPE, check=True).stdout
        other, source = hashlib.sha256(content).hexdigest(), "`imagefs cat`"
    print(f"  {'the mount':14} {through_mount}\n  {source:14} {other}")
    if through_mount != other:
        sys.exit("demo: they differ")


def main() -> None:
    mount, original, image = WORK / "mount", WORK / "original", WORK / "demo.iso"
    mount.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) > 1 and sys.argv[1]:
        image = Path(sys.argv[1])
        say(f"taking {image}")
    else:
        say("making a small disc image")
        make_original(original)
        make_image(original, image)
    ours = image == WORK / "demo.iso"

    say("mounting it as a folder, without root, without a loop device")
    run(*IMAGEFS, "mount", str(image), str(mount))
    try:
        say("what is in it:")
        for name in sorted(os.listdir(mount))[:LISTED]:
            info = (mount / name).lstat()
            print(f"  {info.st_size:>12,}  {name}{'/' if (mount / name).is_dir() else ''}")
        compare(mount, original if ours else None, image)
    finally:
        say("unmounting")
        run(*IMAGEFS, "umount", str(mount))
    say(
        "So: the image was a folder that any program can read, the bytes were the same, and nothing of it is left behind."
    )


if __name__ == "__main__":
    main()
