"""The program in an answer: every form in which chat models were seen to write one."""

from __future__ import annotations

import ast

import pytest

from codefavor.scoring.answers import continued, defines, program_of

BODY = "def total(xs):\n    return sum(xs)\n"
HELPER = "def double(x):\n    return 2 * x\n"
USES = "def total(xs):\n    return sum(double(x) for x in xs)\n"
MATHS = "def total(xs):\n    return math.fsum(xs)\n"
WRONG = "def total(xs):\n    return 0\n"
TESTS = "assert total([1, 2]) == 3\nassert total([]) == 0\nprint(total([1, 2, 3]))\n"


def fence(code: str, language: str = "python") -> str:
    """A block as a model writes it."""
    return f"```{language}\n{code}```"


# What stands around the one program that counts.
AROUND = {
    "alone": "{0}",
    "a sentence before": "Here is the function:\n\n{0}",
    "sentences around": "Sure! Here you go:\n\n{0}\n\nIt sums the numbers.",
    "a heading and a list": "## Solution\n\n1. Sum.\n2. Return.\n\n{0}\n\n- O(n) time",
    "an example of use behind it": "{0}\n\nUse it so:\n\n" + fence(TESTS),
    "a longer example behind it": "{0}\n\n" + fence(TESTS * 5),
    "an example before it": "For instance\n\n" + fence("total([1, 2])  # 3\n") + "\n\nso\n\n{0}",
    "output in a block": "{0}\n\nOutput:\n\n```\n6\n```",
    "a shell command": "{0}\n\n```bash\npython total.py\n```",
    "a wrong draft first": "First try:\n\n" + fence(WRONG) + "\n\nThat is wrong. Better:\n\n{0}",
    "a longer wrong draft first": fence(WRONG + "\n# note\n" * 9) + "\n\nBetter:\n\n{0}",
    "thought before": "<think>\nMaybe " + fence(WRONG) + " ?\n</think>\n\n{0}",
    "thought in capitals": "[THINK]so[/THINK]{0}",
    "a channel before": "<|channel|>analysis<|message|>hm<|end|>"
    "<|start|>assistant<|channel|>final<|message|>{0}",
    "inline code in prose": "Call `total(xs)` with a list.\n\n{0}\n\nThen `total([1])` is `1`.",
    "windows line ends": "Here:\r\n\r\n{0}\r\n",
    "the last word is a question": "{0}\n\nWould you like tests?",
}
# How the program itself is marked.
MARKS = {
    "python": fence,
    "py": lambda code: fence(code, "py"),
    "Python3 in capitals": lambda code: fence(code, "Python3"),
    "no language": lambda code: fence(code, ""),
    "tildes": lambda code: f"~~~python\n{code}~~~",
    "four backticks": lambda code: f"````python\n{code}````",
}


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("around", AROUND)
def test_the_program_is_found_in_every_form(around: str, mark: str) -> None:
    reply = AROUND[around].format(MARKS[mark](BODY))
    assert program_of(reply, "total") == BODY


@pytest.mark.parametrize(
    "reply",
    [BODY, f"{BODY}\nThis sums the numbers.", f"Here it is:\n\n{BODY}", f"\n\n{BODY}\n"],
)
def test_a_program_without_a_fence_is_found(reply: str) -> None:
    assert program_of(reply, "total") == BODY


def test_an_answer_that_was_cut_in_its_block_is_read_to_its_end() -> None:
    assert program_of(f"Here:\n```python\n{BODY}", "total") == BODY


@pytest.mark.parametrize("reply", ["", "I cannot help with that.", "<think>\n" + fence(BODY)])
def test_an_answer_without_a_program_has_none(reply: str) -> None:
    assert program_of(reply, "total") == ""


def test_imports_and_helpers_in_earlier_blocks_come_along() -> None:
    blocks = ("import math\n", HELPER, USES)
    reply = "".join(f"Part:\n{fence(code)}\n" for code in blocks)
    names: dict[str, object] = {}
    exec(program_of(reply, "total"), names)
    assert names["total"]([1, 2]) == 6  # type: ignore[operator]
    # Only what is used.
    assert "math" not in names


def test_what_a_helper_needs_comes_along_too() -> None:
    helper = "def double(x):\n    return operator.mul(x, FACTOR)\n"
    reply = f"{fence('import operator' + chr(10) + 'FACTOR = 2' + chr(10))}{chr(10)}{fence(helper)}"
    names: dict[str, object] = {}
    exec(program_of(f"{reply}\n{fence(USES)}", "total"), names)
    assert names["total"]([1, 2]) == 6  # type: ignore[operator]


def test_the_given_beginning_lends_its_imports() -> None:
    prompt = 'import math\n\n\ndef total(xs):\n    """Sum."""\n'
    assert program_of(fence(MATHS), "total", prompt=prompt) == f"import math\n\n{MATHS}"


def test_a_program_that_has_all_it_needs_stays_as_it_is() -> None:
    prompt = "import math\n\n\ndef total(xs):\n"
    own = f"import math\n\n\n{MATHS}"
    assert program_of(fence(own), "total", prompt=prompt) == own


def test_what_only_continues_the_beginning_is_put_behind_it() -> None:
    prompt = "def total(xs):\n"
    assert program_of(fence("    return sum(xs)\n"), "total", prompt=prompt) == BODY


def test_an_example_of_use_does_not_come_along() -> None:
    reply = f"{fence(WRONG + TESTS)}\nCorrected:\n{fence(BODY)}"
    assert program_of(reply, "total") == BODY


def test_a_draft_of_the_entry_point_does_not_come_along() -> None:
    reply = f"{fence(WRONG)}\nBetter:\n{fence(USES)}"
    assert "return 0" not in program_of(reply, "total")


def test_another_language_is_taken_as_it_is() -> None:
    reply = "Here:\n```javascript\nfunction total(xs) { return 1 }\n```"
    assert program_of(reply, "total", language="javascript") == "function total(xs) { return 1 }\n"


def test_a_base_models_program_ends_where_it_parses_no_more() -> None:
    prompt = 'def total(xs):\n    """Sum."""\n'
    text = "    return sum(xs)\n\nThe function above sums (its"
    code = continued(prompt, text)
    assert code == prompt + "    return sum(xs)\n"
    ast.parse(code)


def test_helpers_behind_a_base_models_function_stay() -> None:
    prompt = "def total(xs):\n"
    text = f"    return sum(double(x) for x in xs)\n\n\n{HELPER}"
    assert continued(prompt, text) == prompt + text


def test_what_no_base_model_should_write_is_no_program() -> None:
    prompt = 'def total(xs):\n    """Sum."""\n'
    code = continued(prompt, "return (((")
    with pytest.raises(SyntaxError):
        ast.parse(code)


@pytest.mark.parametrize(
    ("code", "is_defined"),
    [
        ("def f(x): pass", True),
        ("async def f(x): pass", True),
        ("class f: pass", True),
        ("f = lambda x: x", True),
        ("f: int = 3", True),
        ("    def f(x): pass", False),
        ("def ff(x): pass", False),
        ("f == 3", False),
        ("f(3)", False),
    ],
)
def test_what_defines_a_name(code: str, is_defined: bool) -> None:
    assert defines(code, "f") is is_defined
    assert not defines(code, "")
