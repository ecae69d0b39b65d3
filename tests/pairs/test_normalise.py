"""Comments and names are treated on both sides or on neither, and the result always parses."""

from __future__ import annotations

import ast

import pytest

from codefavor.pairs.normalise import normalise_pair


def both(chosen: str, rejected: str, language: str = "python", **options: str) -> tuple[str, str]:
    done = normalise_pair(chosen, rejected, language, **options)
    return done.chosen, done.rejected


def test_comments_and_docstrings_go_from_both() -> None:
    chosen = 'def f(x):\n    """Better."""\n    return x  # good\n'
    rejected = "def f(x):\n    # naive\n    y = x\n    return y\n"
    assert both(chosen, rejected) == (
        "def f(x):\n    return x\n",
        "def f(x):\n    y = x\n    return y\n",
    )


def test_a_docstring_leaves_no_gap_that_tells_where_it_was() -> None:
    chosen = 'def f(x):\n    """Doc."""\n\n    return x\n'
    assert both(chosen, "def f(x):\n    return 0\n")[0] == "def f(x):\n    return x\n"
    text = 'x = \'a\'\ny = """to do:\n\nnothing"""\n'
    assert both(text, "x = 1\n")[0] == text


def test_neither_is_touched_if_one_cannot_be_read() -> None:
    # The original stripped the side it could read, so the comment told which side was which.
    chosen, rejected = "x = 1  # one\n", "x = = 1  # one\n"
    done = normalise_pair(chosen, rejected, "python")
    assert (done.chosen, done.rejected, done.comments) == (chosen, rejected, "kept")


@pytest.mark.parametrize(
    "code",
    [
        'def f():\n    """Only a docstring."""\n',
        'async def f():\n    """Doc."""\n    await g()\n',
        "def f(): ...\n",
        'class A:\n    """Doc."""\n',
        'def f():\n    "a"\n    "b"\n    return "# no comment"\n',
    ],
    ids=["docstring only", "async", "ellipsis", "class", "strings"],
)
def test_what_parsed_parses_and_keeps_its_meaning(code: str) -> None:
    done = normalise_pair(code, "x = 1\n", "python")
    assert done.comments == "stripped"
    ast.parse(done.chosen)
    assert '"""' not in done.chosen
    assert ("..." in done.chosen) == ("..." in code)


@pytest.mark.parametrize("comments", ["strip", "keep"])
def test_the_edges_do_not_show_where_a_code_came_from(comments: str) -> None:
    code = "x = 1\n\ny = x\n"
    assert both(f"\n \n{code}\n\n", code.rstrip(), comments=comments) == (code, code)
    # The indentation of a lone method is code.
    assert both("\n    def f(x):\n        pass", code, comments="keep")[0] == (
        "    def f(x):\n        pass\n"
    )


def test_keep_means_keep() -> None:
    code = "x = 1  # one\n"
    assert both(code, "x_slow = 1\n", comments="keep", names="keep") == (code, "x_slow = 1\n")


def test_names_that_tell_the_side_become_one_name() -> None:
    chosen, rejected = both(
        "def total_fast(xs):\n    return sum(xs)\n\n\nprint(total_fast([1]))\n",
        "def total_slow(xs):\n    return 0\n\n\nprint(total_slow([1]))\n",
    )
    assert chosen == "def total(xs):\n    return sum(xs)\n\n\nprint(total([1]))\n"
    assert rejected == "def total(xs):\n    return 0\n\n\nprint(total([1]))\n"
    assert both("def improvedTotal(x):\n    return x\n", "def total(x):\n    return 0\n")[0] == (
        "def total(x):\n    return x\n"
    )
    # Where the other side has no such name, a word that says "the better one" goes all the same.
    helper = "def t_improved_sum(x):\n    return x\n\n\ndef f(x):\n    return t_improved_sum(x)\n"
    assert both(helper, "def f(x):\n    return x\n")[0] == helper.replace("_improved", "")


@pytest.mark.parametrize(
    ("chosen", "rejected", "options"),
    [
        # A library's own name is no label.
        ("yaml.safe_load(x)\n", "yaml.unsafe_load(x)\n", {}),
        ("from a import safe_b\nsafe_b(1)\n", "from a import unsafe_b\nunsafe_b(1)\n", {}),
        # Names the task asks for stay.
        ("def fast_f(x):\n    return x\n", "def f(x):\n    return 0\n", {"keep": "Write fast_f"}),
        # Both sides have it: it tells nothing.
        ("best = 1\n", "best = 2\n", {}),
        # A new name that means something else already.
        ("def f(total, total_fast):\n    return total\n", "def f(total, b):\n    return b\n", {}),
        # In an f-string the name would be missed.
        ("best_x = 1\nprint(f'{best_x}')\n", "x = 1\nprint(x)\n", {}),
        # A method is found by its attribute.
        ("class A:\n    def fast_f(s):\n        s.fast_f()\n", "def f(s):\n    s()\n", {}),
        ("sum_fast = 1\n", "sum_slow = 2\n", {}),
    ],
    ids=["attribute", "import", "task", "both", "taken", "f-string", "method", "builtin"],
)  # fmt: skip
def test_other_names_stay(chosen: str, rejected: str, options: dict[str, str]) -> None:
    assert both(chosen, rejected, **options) == (chosen, rejected)


def test_comments_of_other_languages_go_too() -> None:
    chosen = "func f() int { return 1 } // better\n"
    assert both(chosen, "/* naive */\nfunc f() int { return 2 }\n", "go")[0] == (
        "func f() int { return 1 }\n"
    )
