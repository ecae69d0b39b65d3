import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codefavor.errors import DataError
from codefavor.scoring.mutants import mutants_of, print_code

TOTAL = """
def total(values, limit):
    # sums what is small
    result = 0
    for value in values:
        if value <= limit:
            result += value
    return result
"""


def by_operator(code: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for mutant in mutants_of(code):
        found.setdefault(mutant.operator, []).append(mutant.code)
    return found


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("compare_lt", "if value < limit:"),
        ("arithmetic_sub", "result -= value"),
        ("condition_negated", "if not value <= limit:"),
        ("loop_skips_first", "for value in values[1:]:"),
        ("loop_skips_last", "for value in values[:-1]:"),
        ("early_return", "            result += value\n        return result\n"),
        ("statement_doubled", "result += value\n            result += value"),
    ],
)
def test_an_operator_makes_its_mistake(operator, expected):
    assert any(expected in code for code in by_operator(TOTAL)[operator])


def test_a_hard_mutant_differs_in_one_line_only():
    printed = print_code(TOTAL).splitlines()
    for mutant in mutants_of(TOTAL):
        if mutant.level == "hard":
            lines = mutant.code.splitlines()
            assert len(lines) == len(printed)
            assert sum(a != b for a, b in zip(lines, printed, strict=True)) == 1


def test_mutants_are_distinct_and_none_is_the_original():
    codes = [mutant.code for mutant in mutants_of(TOTAL)]
    assert len(codes) == len(set(codes)) > 10
    assert print_code(TOTAL) not in codes


def test_both_sides_come_from_one_printer():
    for mutant in mutants_of(TOTAL):
        assert print_code(mutant.code) == mutant.code
        assert "#" not in mutant.code


def test_some_mutants_are_longer_and_some_are_shorter():
    length = len(print_code(TOTAL))
    for level in ("medium", "hard"):
        signs = {(len(m.code) > length) - (len(m.code) < length) for m in mutants_of(TOTAL)}
        assert {-1, 1} <= signs, level


def test_code_that_does_not_parse_is_refused():
    with pytest.raises(DataError, match="does not parse"):
        mutants_of("def f(:")


def test_a_call_of_range_without_a_bound_is_no_site():
    assert by_operator("def f(n):\n    return list(range())")
    assert "range_one_more" in by_operator("def f(n):\n    return list(range(2, n))")
    assert "range_one_more" not in by_operator("def f(n):\n    return list(range(0, n, 2 * n))")


@pytest.mark.parametrize(
    ("code", "operator", "expected"),
    [
        ("def f():\n    return True", "boolean_flip", ["def f():\n    return False"]),
        ("def f():\n    return True", "constant_plus_one", []),
        ("def f():\n    return 'a'", "string_cut", []),
        ("def f():\n    return 'ab'", "string_cut", ["def f():\n    return 'a'"]),
        ("def f(a, b):\n    return max(a, b)", "arguments_swapped", []),
        ("def f(a, b):\n    return isinstance(a, b)", "arguments_swapped", []),
        ("def f(a, b):\n    return g(a, b)", "arguments_swapped",
         ["def f(a, b):\n    return g(b, a)"]),
        ("def f(n):\n    return list(range(5))", "range_one_more", []),
        ("def f(xs, i):\n    xs[i] = 1", "index_minus_one", []),
        ("def f(xs, i):\n    return xs[i]", "index_minus_one",
         ["def f(xs, i):\n    return xs[i - 1]"]),
        ("def f(x):\n    if not x:\n        g()\n    return x", "condition_negated",
         ["def f(x):\n    if x:\n        g()\n    return x"]),
        ("def f():\n    g()", "statement_lost", ["def f():\n    pass"]),
        ("x = 1\ny = 2", "statement_lost", []),
        ("def f():\n    import os\n\n    def g():\n        return os\n    return g",
         "statements_swapped", []),
        ("def f(x):\n    x = g(x)\n    return x", "statements_swapped", []),
        ("def f():\n    return 1.5", "constant_doubled", ["def f():\n    return 3.0"]),
        ("def f(a, b):\n    return a and b", "and_or", ["def f(a, b):\n    return a or b"]),
        ("def f(a, b):\n    return a or b", "and_or", ["def f(a, b):\n    return a and b"]),
        ("def f(a, b):\n    return 1 < a < b", "compare_lte",
         ["def f(a, b):\n    return 1 <= a < b", "def f(a, b):\n    return 1 < a <= b"]),
        ("def f(x):\n    return min(x)", "call_swapped", ["def f(x):\n    return max(x)"]),
        ("def f(xs, x):\n    xs.append(x)", "call_swapped",
         ["def f(xs, x):\n    xs.extend(x)"]),
        ("def f(xs):\n    for x in xs:\n        g(x)", "branch_lost", ["def f(xs):\n    pass"]),
        ("def f(x):\n    if x:\n        g()", "branch_lost", ["def f(x):\n    pass"]),
        ("def f(x):\n    if x:\n        g()", "statement_lost",
         ["def f(x):\n    if x:\n        pass"]),
        ("def f():\n    return 7", "constant_minus_one", ["def f():\n    return 6"]),
        ("def f():\n    return 7", "constant_plus_one", ["def f():\n    return 8"]),
        ("def f(n):\n    g(range(n))", "range_one_less", ["def f(n):\n    g(range(n - 1))"]),
        ("def f(n):\n    g(range(2, n))", "range_one_more", ["def f(n):\n    g(range(2, n + 1))"]),
        ("def f(xs, n):\n    g(xs[:n])", "slice_bound_plus_one",
         ["def f(xs, n):\n    g(xs[:n + 1])"]),
        ("def f(a, b):\n    g(a, b, a)", "arguments_swapped", []),
        ("def f(xs):\n    for x in xs:\n        g(x)\n        h(x)", "loop_stops_early",
         ["def f(xs):\n    for x in xs:\n        g(x)\n        h(x)\n        break"]),
        ("def f(x):\n    if x:\n        g()\n    else:\n        h()", "only_else",
         ["def f(x):\n    h()"]),
        ("def f(x):\n    if x:\n        g()\n    h()", "body_unconditional",
         ["def f(x):\n    g()\n    h()"]),
        ("def f(x):\n    if x:\n        g()", "only_else", []),
        ("def f(x):\n    a = x\n    b = x\n    return a", "statements_swapped",
         ["def f(x):\n    b = x\n    a = x\n    return a"]),
        ("def f(x):\n    return x + 1", "return_partial", ["def f(x):\n    return x"]),
        ("def f(x):\n    return x", "return_length", ["def f(x):\n    return len(x)"]),
        ("def f(x):\n    return x", "return_wrapped", ["def f(x):\n    return [x]"]),
        ("def f(x):\n    return x < 2", "return_negated", ["def f(x):\n    return not x < 2"]),
        ("def f(x):\n    while x:\n        g()", "condition_negated",
         ["def f(x):\n    while not x:\n        g()"]),
        ("def f(x):\n    for y in g(x):\n        h(y)", "loop_skips_first",
         ["def f(x):\n    for y in list(g(x))[1:]:\n        h(y)"]),
    ],
)  # fmt: skip
def test_an_operator_keeps_to_its_sites(code, operator, expected):
    assert by_operator(code).get(operator, []) == expected


def test_a_mutant_says_in_which_line_its_mistake_is():
    printed = print_code(TOTAL).splitlines()
    for mutant in mutants_of(TOTAL):
        lines = mutant.code.splitlines()
        if mutant.level == "hard":
            assert lines[mutant.lineno - 1] != printed[mutant.lineno - 1]


def test_a_mutant_has_one_mistake_and_none_of_those_before_it():
    for mutant in mutants_of("def f(xs, i):\n    return min(xs[i:i * 7])"):
        assert ("max(" in mutant.code) == (mutant.operator == "call_swapped")
        assert ("[i + 1:" in mutant.code) == (mutant.operator == "slice_bound_plus_one")


def test_what_does_not_compile_or_says_the_same_is_no_mutant():
    # A name may not be used before it is declared global; equal arguments swap into themselves.
    code = "def f(x):\n    global n\n    n = g(x, x)\n    h(n)\n    h(n)"
    for mutant in mutants_of(code):
        compile(mutant.code, "mutant", "exec")
        assert mutant.code != print_code(code)
    assert "arguments_swapped" not in by_operator(code)


def test_a_seed_only_changes_the_order():
    plain, first, second = mutants_of(TOTAL), mutants_of(TOTAL, seed=1), mutants_of(TOTAL, seed=1)
    assert first == second != plain
    assert sorted(m.code for m in first) == sorted(m.code for m in plain)


NAMES = st.sampled_from(["a", "b", "c"])
EXPRESSIONS = st.recursive(
    NAMES | st.integers(-9, 9).map(str),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "<", "and", "%"]), inner).map(
        lambda parts: f"({' '.join(parts)})"
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(EXPRESSIONS, EXPRESSIONS)
def test_every_mutant_of_any_program_parses(condition, value):
    code = f"def f(a, b, c):\n    if {condition}:\n        a = {value}\n    return a"
    for mutant in mutants_of(code):
        ast.parse(mutant.code)
