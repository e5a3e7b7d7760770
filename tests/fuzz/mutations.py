"""Damaging files on purpose: bytes of a file, and members of a zip, whose check sums then fit again."""

from __future__ import annotations

import io
import os
import random
import time
import zipfile
from collections.abc import Callable, Iterator

EDGES = (0, 1, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = (b"-1", b"1e400", b"nan", b"99999999999999999999", b"[" * 3000, b"{" * 40, b"\x00", b"../../x", b"\xff\xfe", b"\n",
         b",", b'"')
PATIENCE = 10.0  # seconds that one file may take, on a busy machine


def count() -> int:
    """How many damaged files each test tries; LANDSCAPE_FUZZ=10000 for a night of it."""
    return int(os.environ.get("LANDSCAPE_FUZZ", "120"))


def mutated(data: bytes, chance: random.Random) -> bytes:
    """``data`` after one to four accidents."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(max(1, len(made)))
        length = min(len(made) - at, 1 + int(chance.expovariate(0.1)))
        act = chance.randrange(7)
        if act == 0 and made:
            made[min(at, len(made) - 1)] ^= 1 << chance.randrange(8)
        elif act == 1:
            made[at : at + length] = chance.randbytes(length)
        elif act == 2:
            del made[at : at + length]
        elif act == 3:
            made[at:at] = made[at : at + length]
        elif act == 4:
            size = chance.choice((1, 2, 4, 8))
            made[at : at + size] = (chance.choice(EDGES) % 2 ** (8 * size)).to_bytes(size, chance.choice(("little", "big")))
        elif act == 5:
            made[at : at + length] = chance.choice(WORDS)
        else:
            del made[at:]
    return bytes(made)


def damaged(data: bytes, seed: int, number: int | None = None) -> Iterator[bytes]:
    """``count()`` damaged copies; every second copy of a zip is damaged inside its members and whole outside."""
    chance = random.Random(seed)
    for i in range(number or count()):
        yield _inside(data, chance) if i % 2 and data[:4] == b"PK\x03\x04" else mutated(data, chance)


def _inside(data: bytes, chance: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    chosen, made = chance.randrange(len(members)), io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for i, (info, content) in enumerate(members):
            archive.writestr(info.filename, mutated(content, chance) if i == chosen else content)
    return made.getvalue()


def held(read: Callable[[], object], *errors: type[Exception]) -> bool:
    """Whether ``read`` took what it was given; otherwise it said so with one of ``errors``, in words and soon."""
    started = time.monotonic()
    try:
        read()
    except errors as error:
        said = str(error).strip()
    else:
        return True
    finally:
        assert time.monotonic() - started < PATIENCE
    assert said, "an error without a word"
    return False
