"""Verdicts given as marks for both candidates, or as the last row of a table."""

from __future__ import annotations

import re

from codefavor.judges.verdict_labels import LABEL, A, B
from codefavor.records import Choice

_NUMBER = r"(-?\d+(?:\.\d+)?)"
# A number is a mark where it says so: out of a maximum, or beside a word for marks.
_OUT_OF = rf"{_NUMBER} ?(?:/ ?(?:5|10|20|100)\b|out of \d+|points?\b(?! of)|stars?\b)"
_MARK = re.compile(rf"{LABEL}[^①②\n\d]{{0,40}}?{_OUT_OF}", re.IGNORECASE)
_WORDED = re.compile(
    rf"(?:scores?|rating|marks?|grade|total|p|probability)(?: for| of)? "
    rf"?\(?{LABEL}\)?\W{{0,6}}{_NUMBER}\b"
    rf"|{LABEL}\W{{0,4}}(?:scores?|rating|rated|total|gets|grade)[^\w\n]{{0,6}}(?:is |of |at "
    rf")?{_NUMBER}\b",
    re.IGNORECASE,
)
_SCORE_LIST = re.compile(
    rf"(?:scores?|ratings?|rated?|give|grades?)\b[^①②]*{LABEL}\W{{0,4}}(?:an? "
    rf")?{_NUMBER}\b[^①②\d]{{1,20}}"
    rf"{LABEL}\W{{0,4}}(?:an? )?{_NUMBER}\b",
    re.IGNORECASE,
)
_SUMMARY = re.compile(
    r"(?:overall|total|winner|verdict|result|final|better|sum|average|mean|conclusion|decision)",
    re.IGNORECASE,
)
_TICK = re.compile(r"✅|✓|✔|🏆|🥇|^\W*(?:winner|yes|wins?|better)\W*$", re.IGNORECASE)


def read_scores(text: str) -> Choice | None:
    """Who has the higher mark; None unless each candidate has exactly one, or one in all."""
    for part in (_summary_lines(text), text):
        marks = _marks(part)
        if all(len(set(values)) == 1 for values in marks.values()):
            return _higher(marks[A][0], marks[B][0])
    return None


def _summary_lines(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if _SUMMARY.search(line))


def _marks(text: str) -> dict[str, list[float]]:
    marks: dict[str, list[float]] = {A: [], B: []}
    for pattern in (_MARK, _WORDED, _SCORE_LIST):
        for match in pattern.finditer(text):
            groups = [group for group in match.groups() if group is not None]
            for label, number in zip(groups[::2], groups[1::2], strict=True):
                marks[label].append(float(number))
        if any(marks.values()):
            break
    return marks


def _higher(mark_a: float, mark_b: float) -> Choice:
    if mark_a == mark_b:
        return "tie"
    return "A" if mark_a > mark_b else "B"


def table_result(text: str) -> str:
    """The text with each row of a table that sums up as a line "verdict: candidate".

    Other rows are left out: what one row says of one respect is not the verdict.
    """
    lines: list[str] = []
    header: list[str] = []
    for line in text.split("\n"):
        if not re.match(r"^\s*\|.*\|\s*$", line):
            header = []
            lines.append(line)
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not header:
            header = cells
            # A table of one row has no header.
        summary = _row_result(header, cells)
        lines.append(f"verdict: {summary}" if summary else "")
    return "\n".join(lines)


def _row_result(header: list[str], cells: list[str]) -> str:
    if not _SUMMARY.search(cells[0]):
        return ""
    named = [
        match.group(1) for cell in cells[1:] if (match := re.fullmatch(rf"\W*{LABEL}\W*", cell))
    ]
    if len(named) == 1:
        return named[0]
    columns = [
        (match.group(1), cell)
        for name, cell in zip(header, cells, strict=False)
        if (match := re.search(LABEL, name))
    ]
    if len(columns) != 2 or columns[0][0] == columns[1][0]:
        return ""
    ticked = [label for label, cell in columns if _TICK.search(cell)]
    if len(ticked) == 1:
        return ticked[0]
    numbers = [re.search(_NUMBER, cell) for _, cell in columns]
    if all(numbers):
        values = [float(number.group(1)) for number in numbers if number]
        if values[0] == values[1]:
            return "tie"
        return columns[0][0] if values[0] > values[1] else columns[1][0]
    return ""
