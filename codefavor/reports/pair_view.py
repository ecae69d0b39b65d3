"""The browser of pairs: two programs line by line, with what differs marked."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

# A run of a line: its text and whether it differs from the other side's line.
Run = tuple[str, bool]
# A row of the comparison: the left line and the right line, None where a side has no line.
Pair = tuple[list[Run] | None, list[Run] | None]
# Below this likeness two lines are other lines, not one line changed.
_ALIKE = 0.6
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


def compare_lines(left: str, right: str) -> list[Pair]:
    """Both programs as aligned lines; every run says whether it differs."""
    a, b = left.rstrip("\n").split("\n"), right.rstrip("\n").split("\n")
    rows: list[Pair] = []
    matcher = difflib.SequenceMatcher(a=a, b=b, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal":
            rows += [([(line, False)], [(line, False)]) for line in a[i1:i2]]
            continue
        for k in range(max(i2 - i1, j2 - j1)):
            old = a[i1 + k] if i1 + k < i2 else None
            new = b[j1 + k] if j1 + k < j2 else None
            rows.append(_compare_line(old, new))
    return rows


def _compare_line(old: str | None, new: str | None) -> Pair:
    if old is None or new is None:
        return (
            None if old is None else [(old, True)],
            None if new is None else [(new, True)],
        )
    a, b = _TOKEN.findall(old), _TOKEN.findall(new)
    matcher = difflib.SequenceMatcher(a=a, b=b, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return [(old, True)], [(new, True)]
    left: list[Run] = []
    right: list[Run] = []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        differs = tag != "equal"
        if i1 < i2:
            left.append(("".join(a[i1:i2]), differs))
        if j1 < j2:
            right.append(("".join(b[j1:j2]), differs))
    return left, right


def browser_data(
    items: Iterable[Mapping[str, Any]],
    *,
    systems: Sequence[str] = (),
    trained: str | None = None,
    against: str | None = None,
) -> Markup:
    """The items and their comparisons as JSON that is safe inside a <script> element."""
    rows = [
        {
            **{key: value for key, value in item.items() if key not in {"chosen", "rejected"}},
            "lines": compare_lines(item["chosen"], item["rejected"]),
        }
        for item in items
    ]
    data = {"items": rows, "systems": list(systems), "trained": trained, "against": against}
    return script_json(data)


def script_json(value: Any) -> Markup:
    """JSON in which no character can end the script element or start a tag or a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # Lone surrogates cannot be written as UTF-8; JSON can name them.
    text = re.sub(r"[\ud800-\udfff]", lambda found: f"\\u{ord(found.group()):04x}", text)
    # Every character that HTML gives a meaning is escaped now.
    return Markup(text)
