"""One HTML page that shows every row of any files: pairs, journals, what was rejected and why.

The page is built to hold tens of thousands of rows: the fields that filter are one small list;
everything else lies in compressed blocks, of which the browser opens only what is looked at.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from codefavor.audits.data_card import aspect_of
from codefavor.errors import DataError
from codefavor.journal import read_journal
from codefavor.journal_file import STATUSES
from codefavor.journal_manifest import manifest_path
from codefavor.records import Execution, Preference, Row, read_rows
from codefavor.reports.page import render_page
from codefavor.reports.pair_view import compare_lines, script_json

FACETS = ("status", "kind", "reason", "source", "criterion", "level", "language", "file")
BLOCK_ROWS = 64
# Free-text criteria are as many as the rows; a menu of more than this many helps nobody.
_MAX_CHOICES = 300
# Values of a facet that are counted in a table above the rows.
_MAX_COUNTED = 40
_TITLE_CHARACTERS = 90


class Entry(NamedTuple):
    """One row to browse: the values that filter, by name of `FACETS`, and all there is to see."""

    id: str
    title: str
    facets: Mapping[str, str]
    body: Row


def render_data_report(paths: Sequence[Path], title: str) -> str:
    """The page for the rows of all these files, preference rows and journals alike.

    Raises DataError, which names file and line, for what cannot be read as either.
    """
    rows: list[list[Any]] = []
    # The number of each value of a facet is its place; the counts are in that order too.
    counts: dict[str, Counter[str]] = {name: Counter() for name in FACETS}
    numbers: dict[str, dict[str, int]] = {name: {} for name in FACETS}
    blocks, pending = [], []
    for entry in entries_of(paths):
        row: list[Any] = [entry.id, entry.title]
        for name in FACETS:
            value = entry.facets.get(name, "")
            counts[name][value] += 1
            row.append(numbers[name].setdefault(value, len(numbers[name])))
        rows.append(row)
        pending.append(entry.body)
        if len(pending) == BLOCK_ROWS:
            blocks.append(_packed(pending))
            pending = []
    if pending:
        blocks.append(_packed(pending))
    if not rows:
        raise DataError(f"{title}: no rows to show")
    index = {
        "rows": rows,
        "facets": FACETS,
        "values": {name: list(counts[name]) for name in FACETS},
        # A facet with one value for all rows filters nothing.
        "shown": [name for name in FACETS if 1 < len(counts[name]) <= _MAX_CHOICES],
        "block_rows": BLOCK_ROWS,
    }
    manifests = [
        (path.name, json.dumps(json.loads(file.read_text(encoding="utf-8")), indent=2))
        for path in paths
        if (file := manifest_path(path)).is_file()
    ]
    return render_page(
        "data.html.j2",
        title=title,
        n_rows=len(rows),
        tables=[
            (name, [(value or "–", n, n / len(rows)) for value, n in found.most_common()])
            for name, found in counts.items()
            if name != "criterion" and len(found) <= _MAX_COUNTED and set(found) != {""}
        ],
        manifests=manifests,
        index=script_json(index),
        blocks=Markup("\n").join(blocks),
    )


def entries_of(paths: Iterable[Path]) -> Iterator[Entry]:
    """Every row of the files, in their order."""
    for path in paths:
        _, first = next(read_rows(path))
        if first.get("status") in STATUSES and "reason" in first:
            for number, record in enumerate(read_journal(path), start=1):
                yield _entry(record.get("row"), record, path.name, f"{path}, record {number}")
        else:
            for where, row in read_rows(path):
                yield _entry(row, {}, path.name, where)


def _entry(row: Any, record: Row, file: str, where: str) -> Entry:
    """A preference row, or whatever a step made, or why there is nothing; `record` is what the
    journal says about it, {} for a row of no journal."""
    seen = row if isinstance(row, dict) else {}
    is_pair = not record or {"instruction", "chosen", "rejected"} <= set(seen)
    pair = Preference.from_row({"id": record.get("id"), **seen}, where) if is_pair else None
    meta = pair.meta if pair else seen.get("meta") or {}
    facets = {
        "status": str(record.get("status", "")),
        "kind": str(meta.get("kind") or ("pair" if pair else "")),
        "reason": str(record.get("reason", "")),
        "source": str(seen.get("source", "")),
        "criterion": aspect_of(pair) if pair else str(meta.get("aspect") or ""),
        "level": str(seen.get("level", "")),
        "language": pair.language if pair else str(seen.get("language", "")),
        "file": file,
    }
    instruction = str(seen.get("instruction", ""))
    body = {
        "instruction": instruction,
        "detail": str(record.get("detail", "")),
        "conversation": _conversation(seen, record),
        **(_pair_body(pair) if pair else _other_body(seen, meta)),
    }
    row_id = str(seen.get("id", "") if pair and "id" in seen else record["id"])
    titles = [_first_line(instruction), _origin(meta)]
    # A pair is known by its problem; what another step made by its instruction.
    titles.insert(0 if pair else 2, str(seen.get("problem_id") or ""))
    return Entry(row_id, next((title for title in titles if title), row_id), facets, body)


def _origin(meta: Mapping[str, Any]) -> str:
    """The commit that a row was to be made from, in a few words."""
    commit = meta.get("commit")
    found = commit if isinstance(commit, Mapping) else {}
    return _first_line(str(found.get("message") or found.get("path") or ""))


def _pair_body(pair: Preference) -> Row:
    known = [("id", pair.id), ("problem", pair.problem_id), ("licence", pair.license)]
    extra = [(key, value) for key, value in pair.meta.items() if key not in _CONVERSATION_KEYS]
    return {
        "criteria": pair.criteria,
        "feedback": pair.feedback,
        "notes": [_note(pair, side) for side in ("chosen", "rejected")],
        "evidence": pair.evidence,
        # A row that was rejected early has no programs yet.
        "lines": compare_lines(pair.chosen, pair.rejected)
        if pair.chosen or pair.rejected
        else None,
        "facts": [
            [key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)]
            for key, value in [*known, *extra]
            if value not in ("", None)
        ],
    }


def _note(pair: Preference, side: str) -> str:
    """What stands in the head of a program: how its test run ended."""
    run = pair.evidence.get(side)
    if not isinstance(run, Mapping) or "outcome" not in run:
        return ""
    found = Execution.from_row(run, f"evidence of {pair.id}")
    return f"{found.outcome.replace('_', ' ')}, {found.passed}/{found.total} asserts"


def _other_body(seen: Row, meta: Mapping[str, Any]) -> Row:
    texts = _texts(seen)
    told = {*_CONVERSATION_KEYS, "instruction", *(title for title, _ in texts)}
    shown = {key: value for key, value in seen.items() if key not in told}
    if "meta" in shown:
        shown["meta"] = {k: v for k, v in meta.items() if k not in _CONVERSATION_KEYS}
    return {
        "texts": texts,
        "raw": json.dumps(shown, indent=2, ensure_ascii=False) if shown else "",
    }


def _texts(row: Mapping[str, Any]) -> list[list[str]]:
    """[name, text] of each field of several lines (programs, reflections) and of each draft."""
    found = [[key, value] for key, value in row.items() if isinstance(value, str) and "\n" in value]
    drafts = row.get("completions")
    for number, draft in enumerate(drafts if isinstance(drafts, list) else [], start=1):
        if isinstance(draft, dict) and draft.get("code"):
            found.append([f"draft {number}", str(draft["code"])])
    return found


_CONVERSATION_KEYS = ("conversation", "messages")


def _conversation(row: Mapping[str, Any], record: Mapping[str, Any]) -> list[list[str]]:
    """[role, text] of each turn that made the row, where it was kept."""
    meta = row.get("meta") or {}
    for place in (record, row, meta):
        for key in _CONVERSATION_KEYS:
            turns = place.get(key)
            if isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
                return [[str(t.get("role", "")), str(t.get("content", ""))] for t in turns]
    return []


def _first_line(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    return first if len(first) <= _TITLE_CHARACTERS else first[: _TITLE_CHARACTERS - 1] + "…"


def _packed(bodies: Sequence[Row]) -> Markup:
    """A script element with rows that no parser of HTML can read anything into."""
    text = json.dumps(bodies, ensure_ascii=True, separators=(",", ":"))
    data = base64.b64encode(zlib.compress(text.encode("ascii"), 6)).decode("ascii")
    return Markup('<script type="text/plain" class="block">{}</script>').format(Markup(data))
