"""The program of a reply where blocks are cut, have words in them, or nothing names a function."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from codefavor.scoring.answers import continued, program_of

RIGHT = "def f(xs):\n    return max(xs) if xs else None\n"
WRONG = "def f(xs):\n    return max(xs)\n"


def fence(code: str) -> str:
    """A block as a model writes it."""
    return f"```python\n{code}```"


def answers(code: str) -> list[object]:
    """What the function of a program gives back."""
    found: dict[str, object] = {"__name__": "answer"}
    exec(compile(code, "", "exec", dont_inherit=True), found)
    return [found["f"](xs) for xs in ([], [1, 3])]  # type: ignore[operator]


@pytest.mark.parametrize(
    "reply",
    [
        f"Naive:\n\n{fence(WRONG)}\n\nThis fails for empty lists. Fixed:\n\n```python\n{RIGHT}",
        f"Naive:\n\n{fence(WRONG)}\n\nFixed:\n\n```python\n{RIGHT}\ndef g():\n    x = 1\n    asse",
        f"{fence(RIGHT)}\n\nWith a loop:\n\n```python\ndef f(xs):\n    best = None\n    for x in",
        f"Naive:\n\n{fence(WRONG)}\n\nSafe:\n\n{fence(textwrap.indent(RIGHT, '    '))}",
    ],
    ids=["not closed", "cut in a test", "cut in the function", "indented in its block"],
)  # fmt: skip
def test_the_last_whole_function_counts_whatever_became_of_its_block(reply: str) -> None:
    assert program_of(reply, "f").startswith(RIGHT)
    assert answers(program_of(reply, "f")) == [None, 3]


@pytest.mark.parametrize(
    "content",
    [
        f"{RIGHT}\nThis function returns the maximum, or None.\n",
        f"Here is the function:\n\n{RIGHT}",
        f"{RIGHT}\nprint(f([1, 3]))\nOutput:\n3\n",
        f"solution.py:\n{RIGHT}",
        f"{RIGHT}\nassert f([1, 2\n",
        f"{RIGHT}\ndef g(xs:\n    return\n",
        f"{RIGHT}\nf([1, 3]) \u2192 3\n",
        f"{RIGHT}\nRuns in O(n)\n",
    ],
)
def test_words_in_a_block_are_no_part_of_the_program(content: str) -> None:
    for reply in (
        fence(content),
        f"```python\n{content}",
        f"Naive:\n{fence(WRONG)}\nBetter:\n{fence(content)}",
    ):
        assert answers(program_of(reply, "f")) == [None, 3]


def test_a_broken_function_is_not_mended_by_leaving_out_its_end() -> None:
    broken = "def f(xs):\n    if not xs:\n        return None\n    esle:\n        return max(xs)\n"
    with pytest.raises(SyntaxError):
        compile(program_of(fence(broken), "f"), "", "exec")
    main = "def main(:\n    n = int(input())\n    print(n)\n\nmain()\n"
    with pytest.raises(SyntaxError):
        compile(program_of(fence(main)), "", "exec")


LONG = """n = int(input())
best = 0
for x in map(int, input().split()):
    if x > best:
        best = x
print(best)
"""
READS = "input()\nprint(max(map(int, input().split())))\n"
SOLVE = "def solve():\n    input()\n    print(max(map(int, input().split())))\n"
HELPER = (
    "def best(xs):\n    top = xs[0]\n    for x in xs:\n        top = max(top, x)\n    return top\n"
)
USES = "input()\nprint(best(list(map(int, input().split()))))\n"
IMPORTED = "print(max(map(int, sys.stdin.read().split()[1:])))\n"
GENERATOR = """import random
for _ in range(10):
    n = random.randint(1, 9)
    print(n)
    print(*[random.randint(-9, 9) for _ in range(n)])
"""


@pytest.mark.parametrize(
    "reply",
    [
        f"A common mistake would be:\n\n{fence(LONG)}\n\nThe right way:\n\n{fence(READS)}",
        f"{fence(READS)}\n\nA common mistake would be:\n\n{fence(LONG)}",
        f"Brute force:\n\n{fence(LONG)}\n\nBut it starts at 0. Final answer:\n\n{fence(READS)}",
        f"```python\nimport sys\n```\nProgram:\n{fence(IMPORTED)}",
        f"{fence(HELPER)}\nProgram:\n{fence(USES)}",
        f"{fence(SOLVE)}\nCall it:\n```python\nsolve()\n```",
        f"{fence(READS)}\n\nTo test it:\n\n{fence(GENERATOR)}",
        f"{fence(READS)}\n\nFirst the count is read:\n\n{fence('input()' + chr(10))}",
        f"{fence(READS)}\n\n```cpp\nint main() {{ }}\n```",
        f"{fence(READS)}\n\nInput:\n```\n3\n```\nOutput:\n```\n3\n```",
        f"{fence(LONG)}\n\nFixed:\n\n```python\n{READS}\nThat is it.",
        READS,
    ],
)  # fmt: skip
def test_without_an_entry_point_the_last_program_that_reads_and_writes_counts(reply: str) -> None:
    code = program_of(reply)
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        input="3\n-5 -2 -9\n",
        capture_output=True,
        text=True,
    )
    assert done.stdout == "-2\n"


PROMPT = (
    'def f(xs):\n    """ The largest, None for an empty list.\n    >>> f([1, 3])\n    3\n    """\n'
)
TASK = '"""\nWrite f(xs), the largest of a list, None for an empty one.\n"""\n'
BODY = "    return max(xs) if xs else None\n"
BEHIND = {
    "itself, cut": f"{PROMPT}    best = None\n    for x in xs:\n        if best is None or x >",
    "itself, cut behind its docstring": f"{PROMPT}{BODY}\n\n{PROMPT}    re",
    "its head": "def f(xs):\n    pass\n",
    "another version": f"# Alternative\n{WRONG}",
    "a test that fails": "def test_f():\n    assert f([]) == 0\ntest_f()\n",
    "what reads": "n = int(input())\n",
    "another function, cut": "def g(xs):\n    total = 0\n    for x in xs:\n        total +=",
}


@pytest.mark.parametrize("behind", BEHIND)
def test_what_a_base_model_writes_behind_the_function_does_not_replace_it(behind: str) -> None:
    code = continued(PROMPT, f"{BODY}\n\n{BEHIND[behind]}", "f")
    assert code == PROMPT + BODY
    code = continued(TASK, f"{RIGHT}\n\n{TASK}{BEHIND[behind]}", "f")
    assert code == TASK + RIGHT


def test_a_base_models_function_keeps_the_helper_behind_it() -> None:
    helper = "def best(xs):\n    return max(xs) if xs else None\n"
    code = continued(PROMPT, f"    return best(xs)\n\n\n{helper}\nprint(f([1]))\n", "f")
    assert answers(code) == [None, 3]
    assert "print" not in code


def test_a_base_model_without_an_entry_point_ends_where_the_task_is_told_again() -> None:
    assert continued(TASK, f"{READS}\n{TASK}print('again')\n") == TASK + READS


@pytest.mark.parametrize(
    "body",
    [
        "return max(xs) if xs else None",
        "best = None\n    for x in xs:\n        best = max(x, best or x)\n    return best",
        "if not xs:\n        return None\n    return max(xs)",
        "best = max(xs, default=None)\nreturn best",
        "   return max(xs) if xs else None",
    ],
    ids=["one line", "first line bare", "so a condition", "all lines bare", "three spaces"],
)  # fmt: skip
def test_a_body_that_lost_its_indent_is_a_body(body: str) -> None:
    assert answers(continued(PROMPT, body, "f")) == [None, 3]
    assert answers(program_of(f"{body}\n", "f", prompt=PROMPT)) == [None, 3]
    assert answers(program_of(fence(f"{body}\n"), "f", prompt=PROMPT)) == [None, 3]


def test_a_mark_of_thinking_in_a_program_ends_no_thinking() -> None:
    code = f"# strip </think> and <think> marks\n{RIGHT}"
    for reply in (fence(code), code, f"<think>\n{fence(WRONG)}\n</think>\n\n{fence(code)}"):
        assert program_of(reply, "f").endswith(RIGHT)
    assert program_of(f"<think>\n```python\n{WRONG}</think>\n{fence(RIGHT)}", "f") == RIGHT


def test_a_diff_is_read_as_one() -> None:
    lines = [" def f(xs):", "     xs = list(xs)", "-    return max(xs)"]
    diff = "\n".join(["```diff", *lines, "+    return max(xs) if xs else None", "```"])
    assert answers(program_of(diff, "f")) == [None, 3]


SUMS = """n = int(input())
a = list(map(int, input().split()))
best = 0
for v in a:
    best += v
print(best)
"""
SHOWN = {
    "the loop": "for v in a:\n    best += v\nprint(best)\n",
    "a line for a look at it": "print(n)\n",
    "a shorter end": "best = sum(a)\nprint(best)\n",
    "a run on a text": "import io, sys\nsys.stdin = io.StringIO('1\\n1\\n')\nprint(n)\n",
    "a run on lines": "lines = iter(['1', '1'])\ninput = lambda: next(lines)\nprint(n)\n",
}


@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN)
def test_a_part_shown_behind_a_program_that_reads_and_writes_does_not_replace_it(
    shown: str,
) -> None:
    assert program_of(f"{fence(SUMS)}How it works:\n{fence(shown)}It is linear.\n") == SUMS


WHOLE = """def f(xs):
    best = None
    for x in xs:
        best = max(x, best or x)
    return best
"""
PARTS = {
    "a guard": "def f(xs):\n    if not xs:\n        return None or 0\n",
    "a guard and a line": "def f(xs):\n    if not xs:\n        return 0\n    best = None\n",
    "the end": "def f(xs):\n    return best\n",
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_part_of_a_function_behind_the_whole_one_does_not_replace_it(part: str) -> None:
    assert program_of(f"{fence(WHOLE)}Add a check:\n{fence(part)}", "f") == WHOLE


def test_a_function_of_conditions_replaces_an_earlier_one() -> None:
    last = "def f(xs):\n    if not xs:\n        return 0\n    elif xs:\n        return 1\n"
    assert program_of(fence(WHOLE) + fence(last), "f") == last
