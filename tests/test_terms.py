"""The words that docs/terms.md calls gone are gone: from help, messages, code and pages."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TERMS = (ROOT / "docs" / "terms.md").read_text(encoding="utf-8")
GONE = re.findall(r"^\| `([^`]+)` \|", TERMS.partition("## Words that are gone")[2], re.MULTILINE)
# Where the old words are understood, or named as what they once were.
ALLOWED = {"codefavor/judges/spec.py", "codefavor/cli/judge_flags.py", "docs/terms.md"}


def test_words_that_are_gone_are_gone():
    assert len(GONE) >= 6
    files = [*(ROOT / "codefavor").rglob("*.py"), *(ROOT / "docs").glob("*.md")]
    for path in [*files, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        name = str(path.relative_to(ROOT))
        if name in ALLOWED:
            continue
        text = " ".join(path.read_text(encoding="utf-8").lower().split())
        for word in GONE:
            assert not re.search(rf"\b{re.escape(word)}\b", text), f"{name} says {word!r}"
