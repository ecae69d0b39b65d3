"""Tokens of code forget comments and layout, and nothing else."""

from __future__ import annotations

from codefavor.pairs.code_tokens import token_string


def test_tokens_forget_comments_and_layout() -> None:
    one = "def tide(u, v):\n    # why\n    return u.low + max(u, v)  # end\n"
    two = "def  tide( u,v ):\n  return u.low+max(u,v)"
    other = "def flood(a, b):\n    return a.low + max(a, b)\n"
    assert token_string(one) == token_string(two)
    assert len(token_string(one)) == 19
    assert token_string(one) != token_string(other)
    assert token_string("a // b\nc /* d */ e", "c") == token_string("a\nc e", "c")
    assert token_string("a // b") != token_string("a")  # division in Python
    assert token_string("x = '# no'") != token_string("x = ''")
