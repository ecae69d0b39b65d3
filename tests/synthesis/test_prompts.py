"""The prompts as models get them, held against files that people reviewed.

A changed prompt is another run (its hash is in the manifest); the golden file changes with it:
`python -m tests.synthesis.test_prompts` writes them anew, to be read before they are committed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from codefavor.prompts import render
from codefavor.prompts.chat import solution_text
from codefavor.synthesis.critic_evol import example_turns, load_examples

GOLDEN = Path(__file__).parent / "golden"
OLD, NEW = "def f(x):\n    y = x\n    return y\n", "def f(x):\n    return x\n"


def prompts() -> dict[str, str]:
    """Each golden file's name and what it must hold."""
    found = {
        "commit_reason": render(
            "commit_reason",
            language="Python",
            message="Return x itself",
            context=solution_text("import os\n"),
            before=solution_text(OLD),
            after=solution_text(NEW),
        ),
        "write_tests": render(
            "write_tests",
            instruction="Write `f(x)`, which returns x.",
            signatures=["def f(x)"],
            n_asserts=5,
            aspect="efficiency",
        ),
        "blind_tests": render(
            "blind_tests",
            instruction="Write `f(x)`, which returns x.",
            signatures=["def f(x)"],
            n_tests=6,
        ),
        "differing_outputs": render(
            "differing_outputs",
            instruction="Write `f(x)`, which returns x.",
            differences=[{"call": "f(1)", "outputs": ["1", "ValueError: no"]}],
        ),
    }
    for answer_format in ("json", "sections"):
        found[f"commit_gate.{answer_format}"] = render("commit_gate", format=answer_format)
        found[f"commit_construct.{answer_format}"] = render(
            "commit_construct", format=answer_format, language="Rust"
        )
        turns = example_turns(load_examples()[:2], answer_format)  # type: ignore[arg-type]
        text = "\n".join(f"## {turn['role']}\n{turn['content']}" for turn in turns)
        found[f"critic_evol.{answer_format}"] = text
    return found


@pytest.mark.parametrize("name", list(prompts()))
def test_a_prompt_is_what_people_reviewed(name: str) -> None:
    assert prompts()[name] + "\n" == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_no_golden_file_is_left_behind() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(prompts())


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for file_name, content in prompts().items():
        (GOLDEN / f"{file_name}.txt").write_text(content + "\n", encoding="utf-8")
