"""Code comes out of model texts whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codefavor.languages import LANGUAGES
from codefavor.text import extract_code, parse_fences
from tests.languages.samples import SAMPLES


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


ALIASES = [(name, alias) for name, known in LANGUAGES.items() for alias in known.aliases]


@pytest.mark.parametrize(("language", "alias"), ALIASES)
def test_every_name_of_a_language_opens_its_fence_and_no_other(language: str, alias: str) -> None:
    code = SAMPLES[language].code.strip("\n") + "\n"
    other = "python" if language != "python" else "rust"
    text = f"Sure.\n```{alias.title()}\n{code}```\nDone.\n"
    assert extract_code(text, language) == code
    assert extract_code(text, alias) == code
    assert extract_code(text, other) == ""


@pytest.mark.parametrize("language", list(SAMPLES))
def test_a_program_without_a_fence_is_found_between_sentences(language: str) -> None:
    code = SAMPLES[language].code
    text = f"Here is what I wrote.\n\n{code}\n\nThis reads the tide; it's (quite) fast.\n"
    found = extract_code(text, language)
    lines = code.splitlines()
    first = lines.index(found.splitlines()[0])
    assert found.strip() == "\n".join(lines[first:]).strip()
    # Comments above the program look like prose that begins with their sign.
    assert all(line.startswith(("#", "/")) for line in lines[:first])


@pytest.mark.parametrize("language", list(SAMPLES))
def test_an_answer_without_code_has_none(language: str) -> None:
    assert extract_code("I cannot help with that; ask the harbour master.", language) == ""
    assert extract_code("", language) == ""


NESTED = (
    'def tide():\n    """Say:\n\n```python\ntide()\n```\n    and more.\n    """\n    return 1\n',
    "import os\ndoc = '''\n```\nplain\n```\n~~~\n'''\n",
)


@pytest.mark.parametrize("code", NESTED, ids=["docstring", "string"])
@pytest.mark.parametrize("info", ["python", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_fences_inside_the_code_do_not_end_it(code: str, info: str, end: str) -> None:
    text = f"Sure:\n\n```{info}\n{code}```\n\nThen run it:\n\n```bash\npython tide.py\n```\n"
    assert extract_code(text.replace("\n", end)) == code


def test_characters_that_only_look_like_line_ends_stay_in_the_code() -> None:
    code = "s = 'a\x0cb\x1cc\x85d\u2028e'\n"
    assert extract_code(f"```python\n{code}```") == code


@given(st.text(alphabet="ab `~\n\t#'", max_size=80))
def test_fences_never_lose_or_invent_content(text: str) -> None:
    for fence in parse_fences(text):
        for line in fence.content.split("\n"):
            assert line in text


@given(st.text(max_size=60))
def test_a_program_put_into_a_longer_fence_comes_back(code: str) -> None:
    kept = code.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    if not kept.strip():
        return
    assert extract_code(f"````````python\n{kept}\n````````") == kept + "\n"


def test_a_long_answer_without_a_fence_is_read_in_moments() -> None:
    code = "def tide(u):\n" + "".join(f"    u += {i}\n" for i in range(2000)) + "    return u\n"
    prose = "That's it: a (long) answer.\n" * 2000
    assert extract_code(f"Here you are.\n\n{code}\n{prose}") == code
