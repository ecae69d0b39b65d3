"""Functions and classes are found with their names, spans and surroundings."""

from __future__ import annotations

import subprocess
import sys

import pytest

from codefavor.languages import (
    functions_and_classes,
    grammar_tokens,
    language_of_path,
    parses,
)
from codefavor.languages.table import LANGUAGES, find_language
from tests.languages.samples import SAMPLES


@pytest.mark.parametrize("language", list(SAMPLES))
def test_every_unit_has_its_name_its_text_and_parses_alone(language: str) -> None:
    code = SAMPLES[language].code
    outline = functions_and_classes(code, language)
    assert outline is not None
    assert tuple(unit.name for unit in outline.units) == SAMPLES[language].units
    for unit in outline.units:
        span = code.encode()[unit.start : unit.end].decode()
        assert "".join(span.split()) == "".join(unit.text.split())
        assert parses(unit.text, language), unit
        assert unit.name.split(".")[-1].split("#")[0].split(":")[0] in unit.head or unit.enclosing


def test_a_method_knows_its_class_and_comes_with_decorators_and_without_indentation() -> None:
    code = (
        "import os\nfrom a import (\n    b,\n)\n\nclass Gauge(Base):\n    unit = 'cm'\n\n"
        "    @cached(\n        1)\n    def read(\n        self, x=lambda: {1: 2}\n    ):\n"
        "        '''é'''\n        return x\n\n    class Inner:\n        def low(self): return 1\n"
    )
    outline = functions_and_classes(code, "python")
    assert outline is not None
    assert outline.imports == ["import os", "from a import (\n    b,\n)"]
    gauge, read, inner, low = outline.units
    assert (gauge.kind, read.kind) == ("class", "function")
    assert read.name == "Gauge.read"
    assert read.text.startswith("@cached(\n    1)\ndef read(\n    self, x=lambda: {1: 2}\n):\n")
    assert read.head == "def read(\n        self, x=lambda: {1: 2}\n    ):"
    assert read.enclosing == ("class Gauge(Base):",)
    assert low.name == "Gauge.Inner.low"
    assert low.enclosing == ("class Gauge(Base):", "class Inner:")
    assert inner.raw.startswith(b"class Inner:")


def test_comments_directly_above_belong_to_a_function_and_others_do_not() -> None:
    code = "int a; // beside\n\n// far\n\n/* near */\n// nearer\nint low(void) { return a; }\n"
    outline = functions_and_classes(code, "c")
    assert outline is not None
    assert outline.units[0].text == "/* near */\n// nearer\nint low(void) { return a; }\n"


def test_functions_inside_functions_belong_to_the_outer_one() -> None:
    for language, code in (
        ("python", "def f():\n    def g():\n        pass\n    return g\n"),
        ("javascript", "function f() { function g() {} return g }"),
        ("go", "func f() { g := func() {}; g() }"),
    ):
        outline = functions_and_classes(code, language)
        assert outline is not None
        assert [unit.name for unit in outline.units] == ["f"]


def test_a_file_that_does_not_parse_has_no_outline() -> None:
    assert functions_and_classes("def f(:\n", "python") is None
    assert functions_and_classes("func {", "go") is None


def test_a_file_that_parses_in_part_has_the_units_of_those_parts() -> None:
    code = "int low(int u) { return u; }\n\nSEA(int) bad( { }\n"
    outline = functions_and_classes(code, "c")
    assert outline is not None
    assert [unit.text for unit in outline.units] == ["int low(int u) { return u; }\n"]
    assert functions_and_classes("BEGIN(\nint bad( { }\n", "c") is None


def test_a_header_is_c_or_cpp_by_what_is_in_it() -> None:
    assert language_of_path("sea/tide.h") == "c"
    assert language_of_path("sea/tide.h", "struct tide { int at; };\nint low(void);\n") == "c"
    assert language_of_path("sea/tide.h", "namespace sea {\nint low();\n}\n") == "cpp"
    assert language_of_path("sea/tide.c", "// namespace of all\nint std;\n") == "c"


def test_names_fences_and_endings_lead_to_one_language() -> None:
    known = {alias: find_language(alias) for alias in ("C++", " py3 ", "golang", "TSX", "c#", "sh")}
    assert [found.name if found else "" for found in known.values()] == [
        "cpp", "python", "go", "typescript", "csharp", "shell",
    ]  # fmt: skip
    assert language_of_path("src/a.b/Tide.JAVA") == "java"
    assert [language_of_path(p) for p in ("Makefile", "a.txt", ".py")] == ["", "", ""]
    aliases = [alias for language in LANGUAGES.values() for alias in language.aliases]
    endings = [end for language in LANGUAGES.values() for end in language.extensions]
    assert len(set(aliases)) == len(aliases)
    assert len(set(endings)) == len(endings)


def test_without_the_grammars_python_works_and_the_others_say_what_to_install() -> None:
    code = (
        "import sys; sys.modules['tree_sitter'] = None\n"
        "from codefavor.errors import MissingPackageError\n"
        "from codefavor.languages import parses, strip_comments\n"
        "assert strip_comments('x = 1  # y', 'python') == ('x = 1', True)\n"
        "try:\n    parses('let x = 1', 'javascript')\n"
        "except MissingPackageError as error:\n    print(error)\n"
        "from codefavor.text import extract_code\n"
        "assert extract_code('```js\\nlet x = 1\\n```', 'javascript') == 'let x = 1\\n'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "reading javascript code needs the package 'tree-sitter-javascript'" in done.stdout
    assert "pip install 'codefavor[languages]'" in done.stdout


@pytest.mark.parametrize("language", list(SAMPLES))
def test_another_version_of_a_file_saves_time_and_changes_nothing(language: str) -> None:
    code = SAMPLES[language].code
    like = functions_and_classes(code, language)
    for at in range(0, len(code), 7):
        other = code[:at] + code[at + 5 :]
        alone, after = (functions_and_classes(other, language, like=one) for one in (None, like))
        assert (alone is None) == (after is None)
        if alone is not None and after is not None:
            assert str(alone.parsed.root) == str(after.parsed.root)
            assert alone.units == after.units
            assert alone.imports == after.imports


def test_a_grammar_reads_python_of_any_age_and_sees_only_what_the_code_says() -> None:
    same = [
        ("print 'a'", 'print "a" # b'), ("x = (1 + 2)", "x=1+2"), ("f(a,\n  b,)", "f(a, b)"),
        ("def f():\n  'd'\n  return (a, b)", "def f():\n    return a, b"),
        ("if a:\n  b\nc", "if a: b\nc"),
    ]  # fmt: skip
    differ = [
        ("if a:\n  b\n  c", "if a:\n  b\nc"), ("x = (1 + 2) * 3", "x = 1 + 2 * 3"),
        ("x = (1)", "x = 1,"), ("x = r'a'", "x = 'a'"), ("x = `a`", "x = 'a'"),
        ("def f[T](): pass", "def f(): pass"),
    ]  # fmt: skip
    for one, two in same:
        assert grammar_tokens(one, "python") == grammar_tokens(two, "python") is not None, one
    for one, two in differ:
        assert grammar_tokens(one, "python") != grammar_tokens(two, "python"), one
    assert grammar_tokens("def f(:", "python") is None


_TEXTS = {
    "python": [
        "def f(x):\n    return f'{x:%s}'\n",
        "def f(x, w):\n    return f'{x:{w}.%s}'\n",
        "def f(x):\n    return f'{f\"{x:%s}\"}'\n",
        "def f(x):\n    return x.split('%s')\n",
    ],
    "csharp": ['class C {\n  string F(int x) {\n    return $"a {x:%s} b";\n  }\n}\n'],
    "shell": [
        "f() {\n  cat <<EOF\nhello %s $x\nEOF\n}\n",
        'f() {\n  echo "$x %s$y"\n}\n',
        "f() {\n  echo ${x:-%s}\n}\n",
    ],
    "javascript": ["function f(x) {\n  return `a%s${x}` + x.split('%s');\n}\n"],
    "ruby": ["def f(x)\n  <<~T\n    a %s#{x}\n  T\nend\n"],
    "php": ["<?php\nfunction f($x) {\n  return <<<T\n  a %s$x\n  T;\n}\n"],
    "kotlin": ['fun f(x: Int): String {\n  return "a %s$x"\n}\n'],
}


@pytest.mark.parametrize(
    ("language", "code"), [(name, code) for name, codes in _TEXTS.items() for code in codes]
)
@pytest.mark.parametrize("texts", [(">10", ">12"), ("1  1", "1 1"), (";", ""), (",", "")])
def test_every_character_of_a_literal_is_part_of_what_the_code_says(
    language: str, code: str, texts: tuple[str, str]
) -> None:
    one, two = (grammar_tokens(code.replace("%s", text), language) for text in texts)
    if one is None or two is None:
        pytest.skip("the text is no literal there")
    assert one != two
