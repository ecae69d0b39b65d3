"""A published row that knows what of it was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codefavor.pairs.published_turns import beside_text


class WatchedRow(dict[str, Any]):
    """A row that knows which of its columns were read.

    `renamed` has the row's own name of each column that is read by another.
    """

    def __init__(self, row: Mapping[str, Any], renamed: Mapping[str, str] | None = None) -> None:
        self.renamed = renamed or {}
        own = set(self.renamed.values())
        super().__init__({name: value for name, value in row.items() if name not in own})
        self.update({new: row[old] for new, old in self.renamed.items()})
        self._read: set[str] = set()
        self.not_read_inside: list[str] = []

    def __getitem__(self, name: str) -> Any:
        self._read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As of a dict."""
        self._read.add(name)
        return super().get(name, default)

    @property
    def not_read(self) -> list[str]:
        """The columns with a value that nobody asked for, and such keys of the turns of others."""
        columns = [name for name, value in self.items() if value not in (None, "", [], {})]
        inside = [
            f"{name}.{key}"
            for name in columns
            if name in self._read
            for key in beside_text(self[name])
        ]
        unread = [name for name in columns if name not in self._read]
        return list(dict.fromkeys([*unread, *inside, *self.not_read_inside]))
