"""Attacks change a program's text and not its meaning, or are left out."""

from __future__ import annotations

import re

import pytest

from codefavor.benchmarks.attacks import ATTACKS, attack_code, attack_items, get_attack, robustness
from codefavor.errors import ConfigError
from codefavor.languages import LANGUAGES

CODE = """\
LIMIT = 10

def helper(x):
    total = x + 1  # one more
    return total

def count(items):
    seen = {}
    for item in items:
        seen[item] = seen.get(item, 0) + helper(0)
    return sorted(seen.items())[:LIMIT]
"""


def result_of(code):
    space = {}
    exec(code, space)
    return space["count"](["b", "a", "b"])


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attacked_program_looks_different_and_runs_the_same(name):
    changed = attack_code(CODE, get_attack(name))
    assert changed is not None
    assert changed != CODE
    assert result_of(changed) == result_of(CODE) == [("a", 1), ("b", 2)]


def test_renaming_leaves_arguments_globals_and_builtins():
    changed = attack_code(CODE, get_attack("rename"))
    assert "def count(items)" in changed
    assert "LIMIT" in changed
    assert "sorted(" in changed
    assert "seen" not in changed


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    y = x\n    return locals()['y']",
        "def f(x):\n    y = x\n    return (lambda: y)()",
        "def f():\n    global y\n    y = 1\n    return y",
        "y = 1\ndef f(x):\n    return [y for y in x], y",
    ],
    ids=["locals", "closure", "global", "comprehension"],
)
def test_names_that_others_can_see_are_not_renamed(code):
    changed = attack_code(code, get_attack("rename"))
    assert changed is None or changed.count("y") >= code.count("y")


@pytest.mark.parametrize(
    "code",
    [
        "def f(): return 1\ndef f(): return 2\n",
        "def f(): return 1\nx = f()\ndef g(): return x\n",
        "def f(x=[]): return x\ndef g(y=f()): return y\n",
    ],
    ids=["same name", "a call between", "defaults"],
)
def test_functions_whose_order_matters_are_not_reordered(code):
    assert attack_code(code, get_attack("reorder")) is None


def test_a_change_of_meaning_is_never_let_through():
    def wrong(code, language):
        return code.replace("+", "-")

    broken = ATTACKS["praise"].__class__("broken", wrong)
    assert attack_code(CODE, broken) is None
    for language, code in PROGRAMS.items():
        assert attack_code(code, broken, language) is None


def test_programs_that_do_not_parse_or_of_unknown_languages_are_left_out():
    def item(key, code, language="python"):
        return {"id": key, "chosen": code, "rejected": "x = 1", "language": language}

    items = [item("a", CODE), item("b", "print 'x'"), item("c", "a := 1", "algol")]
    attacked, n_left_out = attack_items(items, "praise", "chosen")
    assert n_left_out == 2
    assert attacked[0]["attacked"] == "a"
    assert attacked[0]["id"] != "a"
    assert attacked[0]["rejected"] == "x = 1"


# One function with a comment and a local, and another one beside it; "|" ends a line.
_BRACED = "{head}(a) {{|  // why|  {local} = a + 1;|  return y;|}}|{head2}() {{|  return 1;|}}|"
_TYPED = "int f(int a) {{|  // why|  {local} = a + 1;|  return y;|}}|int h() {{|  return 1;|}}|"
PROGRAMS = {
    "javascript": _BRACED.format(head="function f", local="const y", head2="function h"),
    "typescript": _BRACED.format(head="function f", local="const y: number", head2="function h"),
    "java": "class C {|" + _TYPED.format(local="int y") + "}|",
    "csharp": "class C {|" + _TYPED.format(local="int y") + "}|",
    "go": "package p||func f(a int) int {|\t// why|\ty := a + 1|\treturn y|}|"
    "|func h() int {|\treturn 1|}|",
    "c": _TYPED.format(local="int y"),
    "cpp": _TYPED.format(local="auto y"),
    "rust": "fn f(a: i32) -> i32 {|  // why|  let y = a + 1;|  y|}|fn h() -> i32 {|  1|}|",
    "ruby": "def f(a)|  # why|  y = a + 1|  y|end|def h|  1|end|",
    "php": "<?php|function f($a) {|  // why|  $y = $a + 1;|  return $y;|}|"
    "function h() {|  return 1;|}|",
    "kotlin": "fun f(a: Int): Int {|  // why|  val y = a + 1|  return y|}|"
    "fun h(): Int {|  return 1|}|",
    "shell": "f() {|  # why|  y=1|  echo $y|}|h() {|  echo 1|}|",
    "python": "def f(a):|  # why|  y = a + 1|  return y|def h():|  return 1|",
}
PROGRAMS = {language: code.replace("|", "\n") for language, code in PROGRAMS.items()}


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_every_attack_applies_in_every_language_and_leaves_all_other_text(language):
    code = PROGRAMS[language]
    # A variable of a shell is everybody's.
    names = [name for name in ATTACKS if (language, name) != ("shell", "rename")]
    changed = {name: attack_code(code, ATTACKS[name], language) for name in names}
    assert [name for name, found in changed.items() if found is None] == []
    for name in ("dead-code", "docstring", "praise"):
        lines = changed[name].split("\n")
        added = [line for line in lines if line not in code.split("\n")]
        assert added
        assert [line for line in lines if line not in added] == code.split("\n")
    assert [line.strip() for line in changed["reformat"].split("\n")] == [
        line.strip() for line in code.split("\n")
    ]
    if "rename" in changed:
        assert re.sub(r"\bv0\b", "y", changed["rename"]) == code
    assert sorted(re.findall(r"\S+", changed["reorder"])) == sorted(re.findall(r"\S+", code))


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("javascript", "function f(o) {\n  const y = o.y;\n  return y;\n}\n"),
        ("javascript", "function f(a) {\n  const y = a;\n  return { y };\n}\n"),
        ("javascript", "function f() {\n  { let y = 1; }\n  return y;\n}\n"),
        ("go", "package p\n\nfunc f() T {\n\ty := 1\n\treturn T{y: y}\n}\n"),
        ("rust", 'fn f() {\n  let y = 1;\n  println!("{y}");\n}\n'),
        ("php", '<?php\nfunction f() {\n  $y = 1;\n  return compact("y");\n}\n'),
        ("java", "class C {\n  int y;\n  int f() {\n    int y = 1;\n    return y;\n  }\n}\n"),
    ],
    ids=["member", "shorthand", "block", "field", "format", "by name", "attribute"],
)
def test_names_that_others_can_see_are_not_renamed_in_any_language(language, code):
    assert attack_code(code, get_attack("rename"), language) is None


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("go", 'package p\n\nfunc f() int {\n\ty, _ := g()\n\t_ = y\n\treturn y\n}\n'),
        ("rust", "fn f() {\n  let _ = a();\n  let _b = a();\n  let y = 1;\n  g(y);\n}\n"),
        ("kotlin", "fun f(): Int {\n  val (y, _) = g()\n  val _ = h()\n  return y\n}\n"),
        ("csharp", "class C { int F() {\n  var _ = G();\n  int y = 1;\n  return y;\n} }\n"),
        ("csharp", "class C {\n  T F() {\n    T y = new T();\n    return y;\n  }\n}\n"),
        ("java", "class C { int f() {\n  var _ = g();\n  int y = 1;\n  return y;\n} }\n"),
        ("javascript", "function f() {\n  const [, b] = _;\n  let y = b;\n  h(y);\n}\n"),
        ("typescript", "function f() {\n  const _ = g();\n  const y: number = 1;\n  h(y);\n}\n"),
        ("php", "<?php\nfunction f() {\n  $this->a = $_ = 2;\n  $y = 3;\n  return $y;\n}\n"),
        ("ruby", "def f\n  _ = g\n  y = 1\n  y\nend\n"),
        ("c", "int f(void) {\n  int _ = g();\n  int y = 1;\n  return y;\n}\n"),
        ("cpp", "int f() {\n  auto _ = g();\n  int y = 1;\n  return y;\n}\n"),
        ("python", "def f(a):\n    _ = g(a)\n    y, *_ = a\n    return _('hi') + h(y)\n"),
    ],
)  # fmt: skip
def test_only_a_variable_is_renamed_never_a_blank_or_a_type(language, code):
    changed = attack_code(code, get_attack("rename"), language)
    assert changed is not None and re.sub(r"\bv0\b", "y", changed) == code


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("csharp", "class C {\n  int F() {\n    int y = 1;\n    return G(y: y);\n  }\n}\n"),
        ("csharp", "class C {\n  T F() {\n    int y = 1;\n    return new { y };\n  }\n}\n"),
        ("csharp", "class C {\n  T F() {\n    int y = 1;\n    return (y, 2);\n  }\n}\n"),
        ("csharp", "class C {\n  T F() {\n    int y = 1;\n    return nameof(y);\n  }\n}\n"),
        ("rust", "fn f() -> P {\n  let y = 1;\n  P { y }\n}\n"),
        ("rust", "fn f() {\n  let y = 1;\n  'y: loop { break 'y; }\n}\n"),
        ("rust", "fn f() {\n  let y = 1;\n  dbg!(y);\n}\n"),
        ("javascript", "function f() {\n  const Y = g();\n  return <Y></Y>;\n}\n"),
        ("javascript", "function f() {\n  const y = () => 1;\n  return y.name;\n}\n"),
        ("javascript", 'function f(a) {\n  const y = 1;\n  return eval(a);\n}\n'),
        ("php", "<?php\nfunction f($a) {\n  $y = 1;\n  return $$a;\n}\n"),
        ("php", "<?php\nfunction f() {\n  $http_response_header = 1;\n}\n"),
        ("ruby", "def f\n  y = 1\n  g(binding)\nend\n"),
        ("c", "#define SHOW(x) puts(#x)\nvoid f(void) {\n  int y = 1;\n  SHOW(y);\n}\n"),
        ("c", "#define NEXT y + 1\nint f(void) {\n  int y = 1;\n  return NEXT;\n}\n"),
        ("python", 'def f(frame):\n    y = 1\n    return frame.query("x > @y")\n'),
        ("python", "def f():\n    y = 1\n    return g(sys._getframe())\n"),
    ],
)  # fmt: skip
def test_names_that_are_read_as_text_or_name_something_else_are_not_renamed(language, code):
    assert attack_code(code, get_attack("rename"), language) is None


def test_the_text_of_a_shells_document_is_not_indented():
    code = "f() {\n    cat <<EOF\n    hello $x\nEOF\n}\n"
    assert attack_code(code, get_attack("reformat"), "shell") is None


def test_a_function_of_c_that_calls_another_stays_behind_it():
    code = "int f() { return 1; }\nint g() { return f(); }\n"
    assert attack_code(code, get_attack("reorder"), "c") is None


def test_directives_and_first_lines_stay_first():
    code = "function f() {\n  'use strict';\n  return 1;\n}\n"
    changed = attack_code(code, get_attack("dead-code"), "javascript")
    assert changed.index("use strict") < changed.index("unusedValue") < changed.index("return")
    changed = attack_code("<?php\necho 1;\n", get_attack("praise"), "php")
    assert changed.startswith("<?php\n// Correct")


def test_python_keeps_its_comments_and_layout():
    code = "def f(x):\n    total = (x+1)  # one more\n\n    return total\n"
    changed = attack_code(code, get_attack("rename"))
    assert changed == code.replace("total", "v0")


def test_the_program_in_a_whole_answer_is_attacked_and_its_prose_stays():
    code = "fn f(a: i32) -> i32 {\n    let y = a;\n    y\n}"
    answer = f"The y:\n\n```rust\n{code}\n```\n\nDone, y."
    item = {
        "id": "a", "language": "rust", "form": "answers", "chosen": answer, "rejected": "no",
    }  # fmt: skip
    ((attacked,), n_left_out) = attack_items([item], "rename", "chosen")
    assert n_left_out == 0
    assert attacked["chosen"] == answer.replace("let y", "let v0").replace("    y\n", "    v0\n")


def test_an_unknown_attack_lists_the_known_ones():
    with pytest.raises(ConfigError, match="dead-code"):
        get_attack("flood")


def test_drop_and_flip_rate_by_hand():
    def stored(key, choice, **more):
        verdicts = {"chosen_first": {"choice": choice}}
        return {"id": key, "problem_id": more.get("attacked", key), "verdicts": verdicts, **more}

    before = [stored("a", "A"), stored("b", "A"), stored("c", "B"), stored("d", "A")]
    after = [
        stored("a2", "A", attacked="a"),
        stored("b2", "B", attacked="b"),
        stored("c2", "A", attacked="c"),
        stored("d2", "tie", attacked="d"),
    ]
    found = robustness(before, after, attack="praise", side="rejected")
    assert (found.n, found.accuracy_before, found.accuracy_after) == (4, 0.75, 0.625)
    assert found.drop.mean == pytest.approx(0.125)
    assert found.flip_rate == 0.75
