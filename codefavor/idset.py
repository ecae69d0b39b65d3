"""A compact set of ids, for runs whose ids would not fit into memory as strings."""

from __future__ import annotations

from collections.abc import Container, Iterable
from hashlib import blake2b

_WIDTH = 12
_FREE = bytes(_WIDTH)


class IdSet(Container[str]):
    """A set of ids in 16 to 32 bytes each, whatever their length.

    It holds 96 bits of each id's hash: among ten million ids the chance that any two meet
    is below 1e-14. The table starts at 6 MB, so runs below 390,000 rows use the same memory.
    With each id it can note `n_noted` bytes, which cost as much more.
    """

    def __init__(self, ids: Iterable[str] = (), *, slots: int = 1 << 19, n_noted: int = 0) -> None:
        self._slots = slots
        self._blank = bytes(n_noted)
        self._width = _WIDTH + n_noted
        self._table = bytearray(slots * self._width)
        self._count = 0
        for item in ids:
            self.add(item)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, item: object) -> bool:
        return isinstance(item, str) and self._find(id_digest(item.encode("utf-8", "replace")))[1]

    def add(self, item: str) -> bool:
        """Add an id; returns whether it was new."""
        return self.add_bytes(item.encode("utf-8", "replace"))

    def add_bytes(self, item: bytes) -> bool:
        """Add an id given as UTF-8; returns whether it was new."""
        return self.add_digest(id_digest(item))

    def add_digest(self, digest: bytes, note: bytes = b"") -> bool:
        """Add an id given as its `id_digest`, with `n_noted` bytes; returns whether it was new.

        The note of an id that is there already stays.
        """
        position, found = self._find(digest)
        if found:
            return False
        self._table[position : position + self._width] = digest + (note or self._blank)
        self._count += 1
        if self._count * 4 > self._slots * 3:
            self._grow()
        return True

    def note_of(self, digest: bytes) -> bytes | None:
        """What was noted with this id, None if it is not there."""
        position, found = self._find(digest)
        return bytes(self._table[position + _WIDTH : position + self._width]) if found else None

    def note(self, digest: bytes, note: bytes) -> None:
        """Replace what was noted with an id that is there."""
        position, _ = self._find(digest)
        self._table[position + _WIDTH : position + self._width] = note

    def _find(self, digest: bytes) -> tuple[int, bool]:
        """Byte offset of the digest, or of the free slot where it belongs."""
        width, table, mask = self._width, self._table, self._slots - 1
        slot = int.from_bytes(digest[:8], "little") & mask
        position = slot * width
        # startswith compares in place, where a slice would be a new object each time.
        while not table.startswith(_FREE, position):
            if table.startswith(digest, position):
                return position, True
            slot = (slot + 1) & mask
            position = slot * width
        return position, False

    def _grow(self) -> None:
        old, width = self._table, self._width
        self._slots *= 2
        self._table = bytearray(self._slots * width)
        for start in range(0, len(old), width):
            entry = bytes(old[start : start + width])
            if any(entry[:_WIDTH]):
                position, _ = self._find(entry[:_WIDTH])
                self._table[position : position + width] = entry


def id_digest(item: bytes) -> bytes:
    """The 12 bytes that stand for an id given as UTF-8."""
    return blake2b(item, digest_size=_WIDTH).digest()
