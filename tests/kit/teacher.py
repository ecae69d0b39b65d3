"""A teacher that answers the pipelines' questions as it is told, in either format."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from codefavor.backends import Request, Response

CONSTRUCTED = {
    "instruction": "Write `total(xs)`, the sum of the numbers in xs, 0 for none.",
    "criteria": "Uses what the language brings",
    "rejected_code": (
        # Backwards: forwards it is a program of MBPP, and would be taken out as one.
        "def total(xs):\n    s, n = 0, len(xs) - 1\n    while n >= 0:\n        s = s + xs[n]\n"
        "        n = n - 1\n\n    return s\n"
    ),
    "chosen_code": "def total(xs):\n    return sum(xs)\n",
    "feedback": "[CHOSEN_CODE] says in one call what [REJECTED_CODE] spells out.",
}
CRITIQUE = {
    "reflection": "It adds by hand.",
    "verdict": "improve",
    "aspect": "readability",
    "criteria": "Uses what the language brings",
    "improved_code": "def total(xs):\n    return sum(xs)\n",
    "feedback": "[IMPROVED_CODE] says in one call what [DRAFT] spells out.",
}
GATE = {"reason": "Shorter.", "answer": "yes", "aspect": "readability"}
TESTS = (
    "assert total([]) == 0\nassert total([1]) == 1\nassert total([1, 2, 3]) == 6\n"
    "assert total([-1, 1]) == 0\nassert total([5, 5]) == 10\n"
)
COMMIT = {
    "id": "c1",
    "language": "python",
    "path": "a.py",
    "message": "Simplify total",
    "old_code": CONSTRUCTED["rejected_code"],
    "new_code": CONSTRUCTED["chosen_code"],
    "source": "example/repo",
    "license": "mit",
    "commit": "4f3c",
}
DRAFT = {
    "id": "d1",
    "instruction": CONSTRUCTED["instruction"],
    "code": CONSTRUCTED["rejected_code"],
    "language": "python",
    "license": "Apache-2.0",
    "problem_id": "p1",
    "model": "fake:weak",
}


def written(values: Mapping[str, str], answer_format: str, language: str = "python") -> str:
    """An answer of these parts; parts with `code` in their name are fenced in sections."""
    if answer_format == "json":
        return json.dumps(values)
    parts = []
    for name, value in values.items():
        is_code = name.endswith("code")
        text = f"```{language}\n{value}```" if is_code else value
        parts.append(f"[{name.upper()}]\n{text}")
    return "\n\n".join(parts)


def question_of(request: Request) -> str:
    """Which question a request asks; one whose answer is begun already asks for a draft."""
    if request.messages[-1]["role"] == "assistant":
        return "draft"
    last = request.messages[-1]["content"]
    for name, mark in (
        ("reason", "This is one change to"),
        ("gate", "Now decide whether"),
        ("construct", "Make a small exercise"),
        ("tests", "Write tests for a Python task"),
        ("judge", "Which of two programs"),
        ("judge", "Conclude now"),
        ("critique", "[DRAFT]\n"),
    ):
        if mark in last:
            return name
    raise AssertionError(f"an unknown question: {last[:200]}")


def teacher(answer_format: str = "sections", **answers: Any) -> Callable[[Request], Any]:
    """A fake backend's function; an answer is a text, parts, a Response or a function of these."""
    known: dict[str, Any] = {
        "reason": "It sums with one call.",
        "gate": GATE,
        "construct": CONSTRUCTED,
        "critique": CRITIQUE,
        "draft": f"\n{CONSTRUCTED['rejected_code']}",
        "tests": f"```python\n{TESTS}```",
        "judge": prefer(CONSTRUCTED["chosen_code"]),
        **answers,
    }

    def answer(request: Request) -> str | Response:
        value = known[question_of(request)]
        if callable(value):
            value = value(request)
        if isinstance(value, Mapping):
            return written(value, answer_format)
        found: str | Response = value
        return found

    return answer


def prefer(code: str) -> Callable[[Request], str]:
    """A judge that finds the better program by its text, wherever it stands."""

    def judge(request: Request) -> str:
        text = request.messages[-1]["content"]
        first = text.split("Program B:", 1)[0]
        winner = "A" if code.strip() in first else "B"
        if request.sampling.json_schema is not None:
            return json.dumps({"feedback": "clear", "winner": winner})
        return f"Program {winner} is better.\n[RESULT] {winner}"

    return judge
