from codefavor.records import Problem
from codefavor.scoring.candidates import candidates_of, hollow_of


def problem(name: str, body: str) -> Problem:
    return Problem(f"p/{name}", "do it", f"assert {name}([1]) == 1", name, reference=body)


FIRST = problem(
    "first", "def first(xs):\n    if not xs:\n        return 0\n    return xs[0] + 1 - 1"
)
OTHERS = [
    FIRST,
    problem("last", "def last(xs):\n    return xs[-1]"),
    problem(
        "span", "def span(xs):\n    low = min(xs)\n    high = max(xs)\n    return high - low + 0"
    ),
    problem("depth", "def depth(xs):\n    return 1 + depth(xs[1:]) if xs else 0"),
]


def test_the_reference_comes_first_and_every_level_is_there():
    found = candidates_of(FIRST, OTHERS, per_level=5, seed=0)
    assert found[0].level == "reference"
    assert {c.level for c in found} == {"reference", "easy", "medium", "hard"}
    assert len({c.code for c in found}) == len(found)


def test_another_problems_solution_takes_this_problems_name():
    found = candidates_of(FIRST, OTHERS, per_level=9, seed=0)
    foreign = [c.code for c in found if c.kind == "other_problem"]
    assert foreign
    for code in foreign:
        assert code.startswith("def first(")
        assert "depth(" not in code  # the recursive call is renamed too


def test_a_hollow_program_returns_its_first_argument():
    assert hollow_of(FIRST.reference, "first") == "def first(xs):\n    return xs"
    assert hollow_of("def f():\n    return 3", "f") == "def f():\n    return None"


def test_the_same_seed_gives_the_same_programs_in_any_order_of_lenders():
    once = candidates_of(FIRST, OTHERS, per_level=4, seed=7)
    again = candidates_of(FIRST, OTHERS, per_level=4, seed=7)
    assert once == again


def test_each_side_of_the_length_lends_as_much_and_nobody_lends_to_itself():
    found = candidates_of(FIRST, OTHERS, per_level=3, seed=0)
    lengths = [len(c.code) > len(found[0].code) for c in found if c.kind == "other_problem"]
    assert sorted(lengths) == [False, True]


def test_a_hollow_program_that_is_the_reference_is_no_candidate():
    same = problem("same", "def same(x):\n    return x")
    assert [c.kind for c in candidates_of(same, [], per_level=3, seed=0)].count("hollow") == 0


def test_a_hollow_program_returns_what_comes_first_however_it_is_given():
    assert hollow_of("def f(a, /, b):\n    return b", "f") == "def f(a, /, b):\n    return a"


def test_a_level_has_as_many_mutants_as_asked_for_and_some_are_shorter():
    ten = problem(
        "ten", "def ten(x):\n    if x < 10 and x + 1 > 10:\n        x = x * 10\n    return x"
    )
    found = candidates_of(ten, [], per_level=3, seed=0)
    assert sum(c.level == "medium" for c in found) == 3
    length = len(found[0].code)
    hard = [len(c.code) for c in found if c.level == "hard"]
    assert len(hard) == 3
    assert min(hard) < length < max(hard)


def lender(name: str, n: int) -> Problem:
    """A problem whose reference is `n` characters long."""
    head = f"def {name}(xs):\n    return '"
    return problem(name, head + "x" * (n - len(head) - 1) + "'")


def test_the_nearest_in_length_lend_and_one_of_equal_length_counts_as_no_longer():
    n = len(FIRST.reference)
    lenders = [lender(f"f{d + 50}", n + d) for d in (-30, -20, -10, 0, 7, 17, 27)]
    found = candidates_of(FIRST, lenders, per_level=5, seed=0)
    lent = [c.code.count("x") - 2 for c in found if c.kind == "other_problem"]
    own = [one.reference.count("x") - 2 for one in lenders]
    # Two of each side: 7 and 17 longer; as long, and 10 shorter.
    assert [own.index(one) for one in lent] == [4, 5, 3, 2]


def test_another_seed_draws_other_mutants():
    drawn = [candidates_of(FIRST, [], per_level=3, seed=seed) for seed in range(4)]
    assert any(one != drawn[0] for one in drawn[1:])


def test_longer_shorter_and_equal_mutants_are_a_third_each_and_the_longer_fill_up():
    body = "".join(f"    x{n} = x{n} < {n + 11}\n" for n in range(9))
    wide = problem("wide", f"def wide(x):\n{body}    return x")
    reference, *rest = candidates_of(wide, [], per_level=6, seed=0)
    lengths = [len(c.code) - len(reference.code) for c in rest if c.level == "hard"]
    # No hard mutant of it is shorter: two longer, two as long, and two more that are longer.
    assert [(n > 0) - (n < 0) for n in lengths] == [1, 1, 0, 0, 1, 1]
