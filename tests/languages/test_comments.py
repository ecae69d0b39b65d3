"""Comments come out of every language whole, and nothing else does."""

from __future__ import annotations

import ast
import io
import json
import tokenize
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codefavor.errors import ConfigError
from codefavor.languages import (
    grammar_tokens,
    has_same_tokens,
    normalised_tokens,
    parses,
    strip_both,
    strip_comments,
)
from tests.languages.samples import SAMPLES

NAMES = list(SAMPLES)
BLOCK = ("javascript", "typescript", "java", "go", "c", "cpp", "rust", "csharp", "php")


@pytest.mark.parametrize("language", NAMES)
def test_comments_go_and_everything_else_stays(language: str) -> None:
    code, bare, _ = SAMPLES[language]
    stripped = strip_comments(code, language, docstrings=True)
    assert stripped == (bare, True)
    assert parses(stripped.code, language)
    assert strip_comments(bare, language, docstrings=True) == (bare, True)


@pytest.mark.parametrize("language", NAMES)
def test_what_the_code_says_does_not_depend_on_comments_and_layout(language: str) -> None:
    code, bare, units = SAMPLES[language]
    tokens = normalised_tokens(code, language)
    assert tokens == normalised_tokens(bare, language)
    # A word of the code changed: no longer the same.
    other = bare.replace(units[-1].split(".")[-1].split("::")[-1], "other")
    assert tokens != normalised_tokens(other, language)


@pytest.mark.parametrize("language", BLOCK)
def test_a_comment_between_any_two_words_goes_without_a_trace_in_the_tokens(language: str) -> None:
    bare = SAMPLES[language].bare
    tokens = normalised_tokens(bare, language)
    n_done = 0
    for position, sign in enumerate(bare):
        if sign == " " and position:
            marked = bare[:position] + " /* mark */ " + bare[position + 1 :]
            if "mark" in " ".join(normalised_tokens(marked, language)):
                continue  # inside a string
            stripped = strip_comments(marked, language)
            assert stripped.is_done
            assert "mark" not in stripped.code
            assert normalised_tokens(stripped.code, language) == tokens
            n_done += 1
    assert n_done >= 5


@pytest.mark.parametrize("language", NAMES)
def test_code_that_cannot_be_read_stays_and_says_so(language: str) -> None:
    broken = {"python": "def f(:\n  # x\n", "shell": "if then # x\n", "ruby": "def f( # x\n"}
    code = broken.get(language, "/* x */ class { ( } // y\n")
    assert strip_comments(code, language) == (code, False)
    assert not parses(code, language)


@pytest.mark.parametrize(
    "code",
    [
        "x = '''\n# open",
        "if 1:\n x\n  y  # a",
        "x = '\ud800'  # y",
        "\0# x",
        "(" * 5000 + ")" * 5000,
    ],
    ids=["open", "indent", "surrogate", "null", "deep"],
)
def test_python_that_cannot_be_read_stays(code: str) -> None:
    assert strip_comments(code, "python") == (code, False)


@pytest.mark.parametrize(
    ("code", "bare"),
    [
        ("async def f():\n    'doc'\n    return 1\n", "async def f():\n    return 1\n"),
        ("def f():\n    'doc'\n", "def f():\n    pass\n"),
        ("def f(): 'doc'\n", "def f(): pass\n"),
        ("def f(): ...\n", "def f(): ...\n"),
        ("class A:\n    '''a\n    b'''\n    ...\n", "class A:\n    ...\n"),
        ("'''Module.'''\n", ""),
        ("'''Module.'''\nfrom __future__ import division\n", "from __future__ import division\n"),
        ("if x:\n    'a'\nelse:\n    'b'; y = 1\n", "if x:\n    pass\nelse:\n    pass; y = 1\n"),
        ("def f():\n    ('a'\n     'b')\n    return 1\n", "def f():\n    return 1\n"),
        ("def f():\n    'doc'  # and more\n    return 1\n", "def f():\n    return 1\n"),
        ("s = 'é'; 'doc'\nt = 1\n", "s = 'é';\nt = 1\n"),
        ("def f():\n    'é\\f'\n    x = 'a\x0cb\u2028'  # c\n",
         "def f():\n    x = 'a\x0cb\u2028'\n"),
        ("def f():\r\n    'doc'\r\n    return 1  # c\r\n", "def f():\r\n    return 1\r\n"),
        ("f'''{\n1}'''\n# c\n", "f'''{\n1}'''\n"),
        ("try:\n    'a'\nexcept E:\n    'b'\nfinally:\n    'c'\n",
         "try:\n    pass\nexcept E:\n    pass\nfinally:\n    pass\n"),
        ("x = 1  # no line end", "x = 1"),
    ],
    ids=lambda value: repr(value)[:28],
)  # fmt: skip
def test_docstrings_go_where_asked_and_the_rest_still_parses(code: str, bare: str) -> None:
    assert strip_comments(code, "python", docstrings=True) == (bare, True)
    ast.parse(bare)


def test_docstrings_stay_unless_asked() -> None:
    code = "def f():\n    'doc'  # c\n    return 1\n"
    assert strip_comments(code, "python").code == "def f():\n    'doc'\n    return 1\n"


def test_both_sides_or_neither() -> None:
    good, broken = "x = 1  # a\n", "x = (  # a\n"
    assert strip_both(good, good, "python") == ("x = 1\n", "x = 1\n", True)
    assert strip_both(good, broken, "python") == (good, broken, False)
    assert strip_both(broken, good, "python") == (broken, good, False)


def test_an_unknown_language_is_left_alone_or_refused() -> None:
    assert strip_comments("* x\nMOVE A TO B", "cobol") == ("* x\nMOVE A TO B", False)
    assert normalised_tokens("MOVE  A\nTO B", "cobol") == ("MOVE", "A", "TO", "B")
    with pytest.raises(ConfigError, match="unknown language 'cobol'; known: python, javascript"):
        parses("MOVE A TO B", "cobol")


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("javascript", "async read(u) { return 1; }"),
        ("typescript", "private read(u: number): void {}"),
        ("typescript", "const a = <b>x {/* mark */}</b>;"),
        ("java", "private Gauge(int u) { this.u = u; }"),
        ("php", "function low() { return 1; }"),
        ("php", "public function read() { return $this->u; }"),
        ("csharp", "public Gauge(int u) : base(u) { }"),
        ("rust", "fn read(&self) -> u8 { self.u }"),
        ("cpp", "virtual int read() const override { return 1; }"),
        ("go", "func (g *Gauge) Read() int { return g.u }"),
    ],
)
def test_one_method_alone_parses_and_loses_its_comments(language: str, code: str) -> None:
    assert parses(code, language)
    stripped = strip_comments(f"// mark é\n{code} // mark\n", language)
    assert stripped.is_done
    assert "mark" not in stripped.code
    assert normalised_tokens(stripped.code, language) == normalised_tokens(code, language)


def test_layout_that_a_formatter_changes_makes_no_difference() -> None:
    def same(one: str, two: str, language: str) -> bool:
        return normalised_tokens(one, language) == normalised_tokens(two, language)

    assert same("x = ('a')\nif (x): y = [1,\n 2,]\n", 'x = "a"\nif x:\n  y = [1, 2]\n', "python")
    assert same("let x = 'a'\nf(x,\n  y,\n)", 'let x = "a"; f(x, y);', "javascript")
    assert not same("if x:\n  a()\n  b()\n", "if x:\n  a()\nb()\n", "python")
    assert not same("return 1", "return 2", "javascript")
    assert same("def f():\n  'doc'\n  pass", "def f():\n  pass", "python")
    assert not same("def f():\n  return None", "def f():\n  pass", "python")


@pytest.mark.parametrize(
    ("language", "old", "new", "is_same"),
    [
        ("javascript", "f(a, 'b',);", 'f(a,\n  // why\n  "b")', True),
        ("javascript", "f([a,,])", "f([a,])", False),
        ("javascript", "f('')", "f()", False),
        ("python", "f('')", "f()", False),
        ("python", "x = 'a'\ny = (1)", 'x = "a"\ny = 1', True),
        ("python", "x = f'a'", "x = 'a'", False),
        ("python", "x = 1", "x = 1\ny = 2", False),
        ("shell", "a=(1, )", "a=(1 )", False),
        ("go", "func f( {", "func f() {}", None),
        ("go", "func f() {}", "func f( {", None),
    ],
)
def test_same_tokens(language: str, old: str, new: str, is_same: bool | None) -> None:
    assert has_same_tokens(old, new, language) is is_same
    tokens = [grammar_tokens(code, language) for code in (old, new)]
    assert is_same == (None if None in tokens else tokens[0] == tokens[1])


def test_real_python_files_keep_their_meaning_and_lose_every_comment() -> None:
    folder = Path(json.__file__).parent.parent
    paths = [*sorted(folder.glob("json/*.py")), *sorted(folder.glob("[a-d]*.py"))[:12]]
    n_comments = 0
    for path in paths:
        code = path.read_text(encoding="utf-8")
        stripped = strip_comments(code, "python", docstrings=True)
        assert stripped.is_done, path
        tree = ast.parse(stripped.code)
        found = tokenize.generate_tokens(io.StringIO(stripped.code).readline)
        assert not [t for t in found if t.type == tokenize.COMMENT], path
        named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
        assert not [n for n in ast.walk(tree) if isinstance(n, named) and ast.get_docstring(n)]
        n_comments += code.count("#") - stripped.code.count("#")
        bare = strip_comments(code, "python")
        assert ast.dump(ast.parse(bare.code)) == ast.dump(ast.parse(code)), path
    assert n_comments > 200


_LINES = st.lists(
    st.sampled_from(
        ["x = 1", "'text'", "# remark", "s = '#'", "if x:", "  y = 2", "  'inner'", "  # deep",
         "def f():", "else:", "class A:", "t = '''", "'''", "  ...", "pass", "", "u = 'é' # é"]
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(_LINES, st.booleans())
def test_the_result_parses_or_is_the_code_itself(lines: list[str], docstrings: bool) -> None:
    code = "\n".join(lines)
    stripped = strip_comments(code, "python", docstrings=docstrings)
    if not stripped.is_done:
        assert stripped.code == code
        assert not parses(code, "python")
    else:
        ast.parse(stripped.code)
        if not docstrings:
            assert ast.dump(ast.parse(stripped.code)) == ast.dump(ast.parse(code))
        assert "remark" not in stripped.code or "'''" in code
