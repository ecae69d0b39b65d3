"""Attacks change a program's text and not its meaning, or are left out."""

from __future__ import annotations

import pytest

from codefavor.benchmarks.attacks import ATTACKS, attack_code, attack_items, get_attack, robustness
from codefavor.errors import ConfigError

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
    broken = ATTACKS["rename"].__class__("broken", lambda code: code.replace("+", "-"), lambda t: t)
    assert attack_code(CODE, broken) is None


def test_programs_that_do_not_parse_and_other_languages_are_left_out():
    def item(key, code, language="python"):
        return {"id": key, "chosen": code, "rejected": "x = 1", "language": language}

    items = [item("a", CODE), item("b", "print 'x'"), item("c", "int x;", "java")]
    attacked, n_left_out = attack_items(items, "praise", "chosen")
    assert n_left_out == 2
    assert attacked[0]["attacked"] == "a"
    assert attacked[0]["id"] != "a"
    assert attacked[0]["rejected"] == "x = 1"


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
