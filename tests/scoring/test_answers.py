"""The program in an answer: every form in which chat models were seen to write one."""

from __future__ import annotations

import ast

import pytest

from codefavor.scoring.answers import continued, program_of
from codefavor.scoring.blocks import defines

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
    "said",
    [
        "A common mistake would be to return a constant:",
        "It sums them. A common mistake would be:",
        "**Common mistake:**",
        "### Common pitfalls\n\nForgetting the items:",
        "## What not to do",
        "❌ Incorrect:",
        "Wrong:",
        "Bad (returns a constant):",
        "For comparison, here is an incorrect implementation:",
        "Note that the following version is wrong:",
        "Avoid writing it like that:",
        "A buggy version that you may see:",
        "This would be wrong:",
        "The following does not work:",
        "**Don't do this:**",
        "*Don't do this:*",
        "### Don't do this",
        "**Don't do this**",
        "<b>Don\u2019t do this:</b>",
        "**\u274c Don't do this:**",
        "**Don't use it like this:**",
        "**Do not use this:**",
        "**Do not copy this:**",
        "**Never write this:**",
        "__You should not write it like that:__",
        "## Common mistakes\n\n**This is wrong:**",
        "## Common mistakes\n\n**This is incorrect:**",
        "**This does not work:**",
        "**This will not work:**",
        "### This does not work",
        "**Avoid:**",
        "A naive attempt that fails:",
        "**Bad practice:**",
        "The broken one:",
        "Common mistakes\n---------------",
        "Compare this with the original function:",
        "Unlike the version in the question:",
        "**What goes wrong:**",
        "It would be wrong to write:",
        "You might be tempted to write:",
        "The following naive version would fail the tests:",
    ],
)
def test_what_the_reply_calls_a_mistake_is_not_its_answer(said: str) -> None:
    right = f"Here is the function:\n\n{fence(BODY)}\n\nIt uses `sum`."
    wrong = f"{said}\n\n{fence(WRONG)}"
    assert program_of(f"{right}\n\n{wrong}\n\nThat ignores xs.", "total") == BODY
    # With nothing else between the blocks it speaks of the next one all the same.
    assert program_of(f"{fence(BODY)}\n\n{wrong}", "total") == BODY
    # The same said before the answer, which then comes last.
    assert program_of(f"{wrong}\n\nHere is the right one:\n\n{fence(BODY)}", "total") == BODY


def test_a_comment_that_calls_a_block_wrong_is_heard() -> None:
    wrong = "# Incorrect\n" + WRONG
    assert program_of(f"{fence(BODY)}\n\nCompare:\n\n{fence(wrong)}", "total") == BODY
    # A longer comment is not understood: what stands last is the answer.
    other = "# ignores what is wrong with xs\n" + WRONG
    assert program_of(f"{fence(BODY)}\n\nCompare:\n\n{fence(other)}", "total") == other


@pytest.mark.parametrize(
    "said",
    [
        "Wait, I made a mistake. The corrected version:",
        "I made a mistake:",
        "Oops, I made a common mistake there:",
        "The wrong version above is fixed here:",
        "That was incorrect. Better:",
        "This avoids the common pitfall:",
        "To avoid this mistake:",
        "### Common mistakes\n\nThe empty list is easily forgotten. Here is the fixed code:",
        "The previous code was wrong:",
        "Here is an alternative:",
        "A faster version:",
        "This handles wrong input:",
        "That fails on an empty list, so count anew:",
        "This does not work for tuples, so make it a list:",
        "A version that also handles common errors:",
        "It raises an error for bad input:",
    ],
)
def test_a_correction_or_another_version_replaces_what_came_before(said: str) -> None:
    """Though right programs lose by it: the reply says nothing against its last program."""
    assert program_of(f"{fence(BODY)}\n\n{said}\n\n{fence(WRONG)}", "total") == WRONG


def test_a_reply_of_mistakes_alone_has_its_last_program() -> None:
    assert program_of(f"Wrong:\n\n{fence(WRONG)}", "total") == WRONG


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


_PROGRAM = "def f(x):\n    if 0 < x < 2:\n        return 1\n    return x"


@pytest.mark.parametrize(
    "reply",
    [
        "\ufeff" + _PROGRAM,
        "Sure:\n> ```python\n> " + _PROGRAM.replace("\n", "\n> ") + "\n> ```\n> Done.",
        f"```markdown\nHere:\n```python\n{_PROGRAM}\n```\n```",
        f"<p>So:</p><pre><code class='python'>{_PROGRAM.replace('<', '&lt;')}</code></pre>",
        "```\n>>> " + _PROGRAM.replace("\n", "\n... ") + "\n>>> f(1)\n1\n```",
    ],
    ids=["byte order mark", "quotation", "block of Markdown", "HTML", "interpreter"],
)
def test_what_stands_around_a_program_is_taken_off(reply: str) -> None:
    found: dict[str, object] = {}
    exec(program_of(reply, "f"), found)
    assert [found["f"](n) for n in (0, 1, 5)] == [0, 1, 5]


END_MARKS = ("<|im_end|>", "<|endoftext|>", "</s>", "<|eot_id|>", "<|end_of_text|>")


@pytest.mark.parametrize("mark", [*END_MARKS, "\n[DONE]\n", "\n[DONE]\n\nAnother task:\n"])
def test_the_mark_that_ends_a_reply_is_no_part_of_the_program(mark: str) -> None:
    for program in (fence(BODY), BODY.strip(), f"Here:\n\n{BODY.strip()}"):
        assert program_of(program + mark, "total") == BODY
    head, body = BODY.split("\n", 1)
    assert continued(f"{head}\n", body.rstrip() + mark) == BODY


def test_behind_a_closing_fence_such_a_mark_ends_the_reply() -> None:
    reply = f"{fence(BODY)}<|im_end|>\n<|im_start|>user\nAnd?\n{fence(WRONG)}"
    assert program_of(reply, "total") == BODY


def test_a_program_may_have_such_marks_in_its_strings() -> None:
    code = 'def total(xs):\n    return "<|endoftext|>", """\n</s>\n[DONE] """\n'
    for reply in (fence(code), code):
        assert program_of(reply, "total") == code
    code = 'def total(xs):\n    return """\n[DONE]\n"""\n'
    assert program_of(fence(code), "total") == code


@pytest.mark.parametrize(
    "said",
    [
        "Do not write this:", "Don't use the following:", "The old implementation, for reference:",
        "Your original code was:", "Original code:", "## Before", "**Before (slow)**",
        "For reference, the original version:", "For reference, the original was:",
        "For reference, here's the original version:", "Instead of:", "Instead of writing this:",
        "My earlier attempt, which failed on lists, was:", "**What you had:**",
        "The buggy version you posted was:", "My first idea was:",
    ],
)  # fmt: skip
def test_what_a_reply_replaces_or_warns_of_is_not_its_program(said: str) -> None:
    assert program_of(f"{fence(BODY)}\n\n{said}\n\n{fence(WRONG)}", "total") == BODY
    assert program_of(f"{said}\n\n{fence(WRONG)}\n\n## After\n\n{fence(BODY)}", "total") == BODY


@pytest.mark.parametrize(
    "said",
    [
        "Replace the original code with:", "The original code becomes:", "Before you ask:",
        "If you do not use numpy:", "The old implementation, corrected:",
        "Instead of that, write:", "A version that does not use recursion:", "Your code, fixed:",
        "What was missing in your code is a check:", "A version that never fails:",
    ],
)  # fmt: skip
def test_what_only_speaks_of_the_old_program_shows_the_new_one(said: str) -> None:
    assert program_of(f"{fence(WRONG)}\n\n{said}\n\n{fence(BODY)}", "total") == BODY


def test_a_comment_may_say_that_a_program_is_wrong() -> None:
    assert (
        program_of(f"{fence(BODY)}\n\n{fence('# WRONG: unsafe' + chr(10) + WRONG)}", "total")
        == BODY
    )


def test_a_helper_of_a_later_block_is_joined_where_only_that_defines_it() -> None:
    later = program_of(f"{fence(USES)}\n\nwhere\n\n{fence(HELPER)}", "total")
    names: dict[str, object] = {}
    exec(later, names)
    assert names["total"]([1, 2]) == 6  # type: ignore[operator]
    other = HELPER.replace("2 * x", "3 * x")
    both = program_of(f"{fence(HELPER)}\n{fence(USES)}\n{fence(other)}", "total")
    exec(both, names)
    assert names["total"]([1, 2]) == 6  # type: ignore[operator]
    assert program_of(f"{fence(BODY)}\n{fence(HELPER)}", "total") == BODY


def test_a_class_behind_the_beginning_of_a_function_is_not_its_body() -> None:
    solution = "class Solution:\n    def add(self, a, b):\n        return a + b\n"
    prompt = 'def add(a, b):\n    """Adds."""\n'
    assert program_of(f"```python\n{solution}```", "add", prompt=prompt) == solution
    body = "```python\n    return a + b\n```"
    assert program_of(body, "add", prompt=prompt) == f"{prompt}    return a + b\n"


def test_a_line_of_a_program_that_looks_like_a_notebooks_stays() -> None:
    code = 'def add(a, b):\n    text = """\n%d and\n!x\n"""\n    return a + b\n'
    assert program_of(f"```python\n{code}```", "add") == code


def test_a_program_that_fails_gracefully_is_not_wrong() -> None:
    reply = f"{fence(WRONG)}\n\nBetter:\n\n{fence(BODY)}\n\nThis fails gracefully."
    assert program_of(reply, "total") == BODY


def test_what_a_reply_says_behind_its_only_program_takes_it_from_nobody() -> None:
    code = "def add(a, b):\n    return a - b\n"
    assert program_of(f"```python\n{code}```\nThis is wrong.\n", "add") == code


FUTURE = '"""Sums."""\nfrom __future__ import annotations\n\n\ndef total(xs: List[int]):\n'


@pytest.mark.parametrize("head", [FUTURE, FUTURE.partition("\n")[2]])
def test_what_is_lent_stands_behind_docstring_and_future_imports(head: str) -> None:
    prompt = 'from typing import List\n\n\ndef total(xs: List[int]):\n    """Sum."""\n'
    own = head + "    return sum(xs)\n"
    fenced = program_of(fence(own), "total", prompt=prompt)
    helper = program_of(f"{fence(HELPER)}\n{fence(head + USES.partition(chr(10))[2])}", "total")
    for code in (fenced, helper, continued(prompt, own), continued(prompt, fence(own))):
        found: dict[str, object] = {}
        exec(compile(code, "", "exec", dont_inherit=True), found)
        assert found["total"]([]) == 0  # type: ignore[operator]
    before = head.partition("\n\n\n")[0]
    assert fenced.startswith(f"{before}\nfrom typing import List\n")


def test_a_future_import_is_lent_to_nobody() -> None:
    uses = "from __future__ import annotations\n" + HELPER
    code = program_of(f"{fence(uses)}\n{fence(USES)}", "total")
    assert code == f"{HELPER}\n{USES}"
