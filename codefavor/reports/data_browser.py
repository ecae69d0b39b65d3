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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from codefavor.audits.data_card import aspect_of
from codefavor.errors import DataError
from codefavor.journal import manifest_path, read_journal
from codefavor.journal_file import STATUSES
from codefavor.records import Execution, Preference, Row, read_rows
from codefavor.reports.page import render_page
from codefavor.reports.pair_view import compare_lines, script_json

FACETS = ("status", "kind", "reason", "source", "criterion", "level", "language", "file")
BLOCK_ROWS = 64
# Free-text criteria are as many as the rows; a menu of more than this many helps nobody.
_MAX_CHOICES = 300
_TITLE_CHARACTERS = 90


@dataclass(frozen=True)
class Entry:
    """One row to browse: the values that filter, by name of `FACETS`, and all there is to see."""

    id: str
    title: str
    facets: Mapping[str, str]
    body: Row


@dataclass
class _Index:
    """The small list: per row its id, title and the number of each facet's value."""

    rows: list[list[Any]] = field(default_factory=list)
    values: dict[str, dict[str, int]] = field(default_factory=lambda: {n: {} for n in FACETS})
    counts: dict[str, Counter[str]] = field(default_factory=lambda: {n: Counter() for n in FACETS})

    def add(self, entry: Entry) -> None:
        numbers = []
        for name in FACETS:
            value = entry.facets.get(name, "")
            numbers.append(self.values[name].setdefault(value, len(self.values[name])))
            self.counts[name][value] += 1
        self.rows.append([entry.id, entry.title, *numbers])

    def to_row(self) -> Row:
        # A facet with one value for all rows filters nothing.
        shown = [name for name in FACETS if 1 < len(self.values[name]) <= _MAX_CHOICES]
        return {
            "rows": self.rows,
            "facets": FACETS,
            "values": {name: list(self.values[name]) for name in FACETS},
            "shown": shown,
            "block_rows": BLOCK_ROWS,
        }


def render_data_report(paths: Sequence[Path], title: str) -> str:
    """The page for the rows of all these files, preference rows and journals alike.

    Raises DataError, which names file and line, for what cannot be read as either.
    """
    index, blocks = _Index(), []
    pending: list[Row] = []
    for entry in entries_of(paths):
        index.add(entry)
        pending.append(entry.body)
        if len(pending) == BLOCK_ROWS:
            blocks.append(_packed(pending))
            pending = []
    if pending:
        blocks.append(_packed(pending))
    if not index.rows:
        raise DataError(f"{title}: no rows to show")
    manifests = [
        (path.name, json.dumps(json.loads(file.read_text(encoding="utf-8")), indent=2))
        for path in paths
        if (file := manifest_path(path)).is_file()
    ]
    return render_page(
        "data.html.j2",
        title=title,
        n_rows=len(index.rows),
        tables=_tables(index),
        manifests=manifests,
        index=script_json(index.to_row()),
        blocks=Markup("\n").join(blocks),
    )


def entries_of(paths: Iterable[Path]) -> Iterator[Entry]:
    """Every row of the files, in their order."""
    for path in paths:
        if _is_journal(path):
            for number, record in enumerate(read_journal(path), start=1):
                yield _entry_of_record(record, path, f"{path}, record {number}")
        else:
            for where, row in read_rows(path):
                yield _entry_of_pair(row, path.name, where)


def _is_journal(path: Path) -> bool:
    _, first = next(read_rows(path))
    return first.get("status") in STATUSES and "reason" in first


def _entry_of_pair(row: Row, file: str, where: str, record: Row | None = None) -> Entry:
    """A preference row; `record` is what the journal says about it."""
    pair = Preference.from_row(row, where)
    record = record or {}
    facets = {
        "status": str(record.get("status", "")),
        "kind": str(pair.meta.get("kind") or "pair"),
        "reason": str(record.get("reason", "")),
        "source": pair.source,
        "criterion": aspect_of(pair),
        "level": pair.level,
        "language": pair.language,
        "file": file,
    }
    body: Row = {
        "instruction": pair.instruction,
        "criteria": pair.criteria,
        "feedback": pair.feedback,
        "notes": _notes(pair),
        "evidence": pair.evidence,
        # A row that was rejected early has no programs yet.
        "lines": compare_lines(pair.chosen, pair.rejected)
        if pair.chosen or pair.rejected
        else None,
        "detail": str(record.get("detail", "")),
        "facts": _facts(pair),
        "conversation": _conversation(row, record),
    }
    title = pair.problem_id or _title(pair.instruction) or _origin(pair.meta) or pair.id
    return Entry(pair.id, title, facets, body)


def _origin(meta: Mapping[str, Any]) -> str:
    """The commit or draft that a row was to be made from, in a few words."""
    commit = meta.get("commit")
    if isinstance(commit, Mapping):
        return _title(str(commit.get("message") or commit.get("path") or ""))
    return ""


def _entry_of_record(record: Row, path: Path, where: str) -> Entry:
    """A journal's record: a pair, or whatever its step made, or why there is nothing."""
    row = record.get("row")
    if isinstance(row, dict) and {"instruction", "chosen", "rejected"} <= set(row):
        return _entry_of_pair({"id": record["id"], **row}, path.name, where, record)
    seen = row if isinstance(row, dict) else {}
    meta = seen.get("meta") or {}
    facets = {
        "status": str(record["status"]),
        "kind": str(meta.get("kind") or ""),
        "reason": str(record["reason"]),
        "source": str(seen.get("source", "")),
        "criterion": str(meta.get("aspect") or ""),
        "language": str(seen.get("language", "")),
        "file": path.name,
    }
    texts = _texts(seen)
    shown = {
        key: value
        for key, value in seen.items()
        if key not in {*_CONVERSATION_KEYS, "instruction", *(title for title, _ in texts)}
    }
    if "meta" in shown:
        shown["meta"] = {k: v for k, v in meta.items() if k not in _CONVERSATION_KEYS}
    body = {
        "instruction": str(seen.get("instruction", "")),
        "detail": str(record.get("detail", "")),
        "texts": texts,
        "raw": json.dumps(shown, indent=2, ensure_ascii=False) if shown else "",
        "conversation": _conversation(seen, record),
    }
    title = _title(str(seen.get("instruction", ""))) or _origin(meta)
    title = title or str(seen.get("problem_id") or record["id"])
    return Entry(str(record["id"]), title, facets, body)


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


def _notes(pair: Preference) -> list[str]:
    """What stands in the head of each program: how its test run ended, where it ran."""
    notes = []
    for side in ("chosen", "rejected"):
        run = pair.evidence.get(side)
        if isinstance(run, Mapping) and "outcome" in run:
            found = Execution.from_row(run, f"evidence of {pair.id}")
            name = found.outcome.replace("_", " ")
            notes.append(f"{name}, {found.passed}/{found.total} asserts")
        else:
            notes.append("")
    return notes


def _facts(pair: Preference) -> list[list[str]]:
    known = [("id", pair.id), ("problem", pair.problem_id), ("licence", pair.license)]
    extra = [(key, value) for key, value in pair.meta.items() if key not in _CONVERSATION_KEYS]
    return [
        [key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)]
        for key, value in [*known, *extra]
        if value not in ("", None)
    ]


def _title(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    return first if len(first) <= _TITLE_CHARACTERS else first[: _TITLE_CHARACTERS - 1] + "…"


def _packed(bodies: Sequence[Row]) -> Markup:
    """A script element with rows that no parser of HTML can read anything into."""
    text = json.dumps(bodies, ensure_ascii=True, separators=(",", ":"))
    data = base64.b64encode(zlib.compress(text.encode("ascii"), 6)).decode("ascii")
    return Markup('<script type="text/plain" class="block">{}</script>').format(Markup(data))


def _tables(index: _Index) -> list[tuple[str, list[tuple[str, int, float]]]]:
    """Per facet with few values: its values with count and share, the most frequent first."""
    n = len(index.rows)
    found = []
    for name in FACETS:
        counts = index.counts[name]
        if name == "criterion" or len(counts) > 40 or (len(counts) == 1 and "" in counts):
            continue
        rows = [(value or "–", count, count / n) for value, count in counts.most_common()]
        found.append((name, rows))
    return found
