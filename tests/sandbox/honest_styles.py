"""Honest programs in the styles in which people write tests, and for most a plausible wrong one.

`python -m tests.sandbox.honest_styles --verify` asks real pytest (plain Python where the tests
hold no test functions) of each: the right program must pass, the wrong one must not, in one file
with the tests and, where a name of the module is not part of the tests, in a file of its own.
"""

from __future__ import annotations

import collections
import sys

from tests.sandbox.honest_split import SPLIT, Honest
from tests.sandbox.honest_together import TOGETHER

STYLES = [*SPLIT, *TOGETHER]

__all__ = ["STYLES", "Honest"]


# Their tests bind a name that the program uses; below it in one file they would change it.
_REBINDING = ("test variable called list", "test variables called like the program's own")


def needs_module(honest: Honest) -> bool:
    """Whether the tests cannot stand below the program in its file."""
    words = ("solution", "__future__")
    return honest.name in _REBINDING or any(word in honest.tests for word in words)


def _disagreements(honest: Honest) -> list[str]:
    from tests.sandbox.beside import Layout, run_beside

    layouts = [Layout.TWO_FILES] if needs_module(honest) else list(Layout)
    found = []
    for layout in layouts:
        right = run_beside(honest.program, honest.tests, layout)
        if not right.is_green:
            found.append(f"{honest.name} ({layout.value}): right is not green: {right.text}")
        if honest.wrong and run_beside(honest.wrong, honest.tests, layout).is_green:
            found.append(f"{honest.name} ({layout.value}): wrong is green")
    return found


def main() -> None:
    lanes = collections.Counter(honest.expected_lane for honest in STYLES)
    n_wrong = sum(bool(honest.wrong) for honest in STYLES)
    print(f"{len(STYLES)} honest {dict(lanes)}, {n_wrong} with a wrong program")
    print(dict(collections.Counter(honest.style for honest in STYLES)))
    if "--verify" in sys.argv:
        found = []
        for number, honest in enumerate(STYLES, 1):
            found += _disagreements(honest)
            print(
                f"{number} of {len(STYLES)}, {len(found)} disagreements", file=sys.stderr, end="\r"
            )
        print("", *found, sep="\n")
        print(f"{len(found)} disagreements with real pytest")
        sys.exit(bool(found))


if __name__ == "__main__":
    main()
