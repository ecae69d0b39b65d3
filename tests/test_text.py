"""Code comes out of model texts whole, and comments out of code without touching the rest."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codefavor.text import (
    extract_code,
    is_valid_python,
    parse_fences,
    parse_sections,
    strip_comments,
)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Sure:\n```python\ntry:\n  x\nfinally:\n  y\n```\nDone", "try:\n  x\nfinally:\n  y\n"),
        ("```py\nprint(1)\n```", "print(1)\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("~~~python\nx = 1\n~~~", "x = 1\n"),
        ("````python\ns = '''\n```\n'''\n````", "s = '''\n```\n'''\n"),
        ("```bash\npip install x\n```\n```python\nx = 1\n```", "x = 1\n"),
        ("```python\nf(1)\n```\n```python\ndef f(x):\n return x\n```", "def f(x):\n return x\n"),
        ("```python\nx = 1\n\n\ny = 2\n```", "x = 1\n\n\ny = 2\n"),
        ("```python\ndef f():\n    return 1", "def f():\n    return 1\n"),
        ("  ```python\n  def f():\n      return 1\n  ```", "def f():\n    return 1\n"),
        ("try:\n    import x\nexcept ImportError:\n    x = 0", ""),
        ("def f():\n    return 1\n\nThis returns one.", "def f():\n    return 1\n"),
        ("import os\nprint(os)", "import os\nprint(os)\n"),
        ("Here it is:\nimport re\nx = 1", "import re\nx = 1\n"),
        ("I cannot help with that.", ""),
        ("", ""),
        ("Use `f()` inline and ```not a fence``` here", ""),
        ("```javascript\nlet x = 1\n```", ""),
        ("```Python\nx = 1\n```", "x = 1\n"),
        ("```python title=\"a.py\"\nx = 1\n```", "x = 1\n"),
        ("```{.python}\nx = 1\n```", "x = 1\n"),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_the_program_in_an_answer(text: str, code: str) -> None:
    assert extract_code(text) == code


def test_code_of_another_language_is_taken_by_its_name() -> None:
    assert extract_code("```python\nx=1\n```\n```rust\nfn f() {}\n```", "rust") == "fn f() {}\n"


@given(st.text(alphabet="ab `~\n\t#'", max_size=80))
def test_fences_never_lose_or_invent_content(text: str) -> None:
    for fence in parse_fences(text):
        for line in fence.content.splitlines():
            assert line in text


@given(st.text(max_size=60))
def test_a_program_put_into_a_longer_fence_comes_back(code: str) -> None:
    kept = "\n".join(code.splitlines()).strip("\n")
    if not kept.strip() or any(c in code for c in "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
        return
    assert extract_code(f"````````python\n{kept}\n````````") == kept + "\n"


def test_sections_keep_code_with_blank_lines_and_header_like_code() -> None:
    text = (
        "[INSTRUCTION] Create it\nwell\n\n[CODE]\n```python\nx = 1\n\n"
        "[FEEDBACK]\n```\n**[FEEDBACK]**\nA better one\n"
    )
    found = parse_sections(text, ["INSTRUCTION", "CODE", "FEEDBACK"])
    assert found["INSTRUCTION"] == "Create it\nwell"
    assert found["CODE"] == "```python\nx = 1\n\n[FEEDBACK]\n```"
    assert found["FEEDBACK"] == "A better one"


def test_missing_sections_are_missing_and_the_last_of_two_counts() -> None:
    found = parse_sections("[A]\none\n[A]\ntwo", ["A", "B"])
    assert found == {"A": "two"}


def test_comments_go_and_everything_else_stays() -> None:
    code = (
        "# head\nimport os  # why\n\n\ndef f(x):\n    '''# doc'''\n    # inside\n"
        "    s = '# not one'\n    return s  # end\n"
    )
    assert strip_comments(code) == (
        "import os\n\n\ndef f(x):\n    '''# doc'''\n    s = '# not one'\n    return s\n"
    )


@pytest.mark.parametrize("code", ["def f(:\n  # x\n", "x = '''\n# open", "if 1:\n x\n  y  # a"])
def test_code_that_cannot_be_read_is_left_as_it_is(code: str) -> None:
    assert strip_comments(code) == code


def test_c_like_comments_go_and_strings_stay() -> None:
    code = '// head\nint f() { /* a\nb */ return "//x".size(); } // end\nchar c = \'"\'; // q\n'
    assert strip_comments(code, "cpp") == ('int f() {\n return "//x".size(); }\nchar c = \'"\';\n')


def test_stripping_never_changes_what_python_reads() -> None:
    code = "x = [1,  # one\n     2]\ny = f'{x}#'  # z\nif x:\n    pass  # p\n"
    assert ast.dump(ast.parse(strip_comments(code))) == ast.dump(ast.parse(code))
    assert "# " not in strip_comments(code)


@pytest.mark.parametrize(
    ("code", "expected"),
    [("x = 1", True), ("x = ", False), ("\0", False), ("(" * 5000 + ")" * 5000, False)],
    ids=["good", "bad", "null", "deep"],
)
def test_validity(code: str, expected: bool) -> None:
    assert is_valid_python(code) is expected
