"""Versions of one file: what differs between two of them, and the tree that is made of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from codefavor.languages.table import get_language
from codefavor.languages.trees import _differences, _edited, parse_file

FUNCTIONS = [f"function f{n}(a) {{\n  return a + {n} * '{n % 7}é';\n}}\n" for n in range(300)]


@given(
    st.lists(st.sampled_from(FUNCTIONS), min_size=1, max_size=40),
    st.lists(
        st.tuples(
            st.integers(0, 2000), st.integers(0, 300), st.sampled_from(["", "{", "\n", "é;"])
        ),
        max_size=12,
    ),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_outside_of_the_differences_both_texts_are_the_same(
    functions: list[str], edits: list[tuple[int, int, str]], is_swapped: bool
) -> None:
    one = two = "".join(functions)
    for start, n_gone, text in edits:
        two = two[:start] + text + two[start + n_gone :]
    old, new = (two.encode(), one.encode()) if is_swapped else (one.encode(), two.encode())
    rebuilt, at, to = b"", 0, 0
    for (start, end), (new_start, new_end) in _differences(old, new):
        assert old[at:start] == new[to:new_start]
        rebuilt += old[at:start] + new[new_start:new_end]
        at, to = end, new_end
    assert rebuilt + old[at:] == new
    javascript = get_language("javascript")
    before, alone = parse_file(old, javascript), parse_file(new, javascript)
    after = parse_file(new, javascript, before)
    assert (after and str(after.root)) == (alone and str(alone.root))
    assert after is None or alone is None or after.root.end_point == alone.root.end_point


def test_what_lies_between_two_changes_is_not_read_again() -> None:
    one = "".join(FUNCTIONS)
    two = one.replace("+ 3 *", "- 3 *").replace("+ 290 *", "+\n 290 *")
    parsed = parse_file(one.encode(), get_language("javascript"))
    assert parsed is not None
    edited = _edited(parsed, two.encode()).root_node
    changed = [n for n, child in enumerate(edited.children) if child.has_changes]
    assert changed == [3, 290]
    assert edited.end_point == (parsed.root.end_point[0] + 1, 0)
    assert edited.end_byte == len(two.encode())


def test_a_part_that_went_or_came_is_one_difference() -> None:
    one = "".join(FUNCTIONS).encode()
    two = ("".join(FUNCTIONS[:100]) + "".join(FUNCTIONS[250:])).encode()
    for old, new in ((one, two), (two, one)):
        (span,) = _differences(old, new)
        lengths = [end - start for start, end in span]
        assert max(lengths) - min(lengths) == len(one) - len(two)
        assert min(lengths) < 200
