"""What a program lacks is lent to it, and words at its end are none of it."""

from __future__ import annotations

import pytest

from codefavor.scoring.needed import with_needed, without_words

F = "def f(xs):\n    return max(xs) if xs else None\n"


def run(code: str) -> dict[str, object]:
    """What a program defines."""
    found: dict[str, object] = {}
    exec(compile(code, "", "exec", dont_inherit=True), found)
    return found


@pytest.mark.parametrize(
    ("earlier", "code"),
    [
        ("from math import *\n", "def f(x):\n    return floor(x)\n"),
        ("import math\n", "def g():\n    math = 1\ndef f(x):\n    return math.floor(x)\n"),
        ("def g(x): return int(x)\n", "def a(g, x): return g(x)\ndef f(x):\n    return a(g, x)\n"),
        ("T = {}\nfor n in range(9):\n    T[n] = n\n", "def f(x):\n    return T[int(x)]\n"),
        ("T = []\nT += [0, 1, 2, 3]\n", "def f(x):\n    return T[int(x)]\n"),
        ("T = []\nT.extend(range(9))\n", "def f(x):\n    return T[int(x)]\n"),
        ("def g(x: Any): return int(x)\n", "from typing import Any\ndef f(x):\n    return g(x)\n"),
    ],
    ids=["star", "a local elsewhere", "a parameter elsewhere", "filled by a loop", "extended",
         "extended by a method", "with an import of the program's"],
)  # fmt: skip
def test_a_name_that_no_scope_around_it_has_is_lent_with_its_value(earlier: str, code: str) -> None:
    assert run(with_needed(code, [earlier]))["f"](3.5) == 3  # type: ignore[operator]


@pytest.mark.parametrize(
    "earlier",
    [
        "import sys\nsys.exit(1)\n",
        "import sys\nif __name__ == '__main__':\n    sys.stdout.write('1')\n",
        "import sys\nprint(f([1]))\n",
    ],
)
def test_examples_of_use_are_not_lent(earlier: str) -> None:
    code = "def f(xs):\n    return sys.maxsize\n"
    assert with_needed(code, [earlier]) == f"import sys\n\n{code}"


@pytest.mark.parametrize(
    "words",
    ["Runs in O(n)", "This is it", "That is all", "* linear", "- O(n)", "not tested", "O(n)",
     "Done and dusted", "Time: O(n)\nSpace: O(1)", "Enjoy", "lgtm"],
)  # fmt: skip
def test_words_that_python_reads_are_no_part_of_the_program(words: str) -> None:
    assert without_words(f"{F}\n{words}\n") == F
    assert without_words(f"solution.py\n{F}") == F


@pytest.mark.parametrize(
    "code",
    [
        f"{F}\nprint(f(data))\n",
        f"{F}\nx = data\n",
        f"{F}\nmain()\n",
        # What comes before the program may import it.
        f"sys.setrecursionlimit(9999)\n{F}",
        f"from a import *\n{F}\nn\n",
        F,
    ],
)
def test_what_runs_or_could_run_stays(code: str) -> None:
    """Though it fails: it is the program that was written."""
    assert without_words(code) == code
