"""Files of this machine that are copies of others: what is written down names the original."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_originals: dict[str, str] = {}


@contextmanager
def standing_for(originals: Mapping[str, str]) -> Iterator[None]:
    """While it lasts, these paths are copies of what has these names (URLs)."""
    _originals.update(originals)
    try:
        yield
    finally:
        for path in originals:
            del _originals[path]


def with_originals(text: str) -> str:
    """The text, which names originals where it named copies."""
    for path, name in _originals.items():
        text = text.replace(path, name)
    return text
