"""A right program in other words raises the same classes for the same calls."""

from __future__ import annotations

import pytest

from codefavor.scoring.messages import with_other_messages

PROGRAMS = {
    "percent": "    raise ValueError('bad base %d of %s' % (x, 'it'))",
    "format": "    raise ValueError('bad base {0:>3} and {{}}'.format(x))",
    "an f-string": "    raise ValueError(f'bad base {x:d} here')",
    "a sum": "    raise ValueError('bad base ' + str(x))",
    "a variable": "    words = 'bad base %d'\n    raise ValueError(words % x)",
    "an exception in a variable": "    error = ValueError('bad base')\n    raise error",
    "a constant": "    raise ValueError(WORDS)\nWORDS = 'bad base'",
    "an assert": "    assert x == 1, f'bad base {x}'",
}


def _raised(code: str) -> BaseException:
    space: dict[str, object] = {}
    exec(code, space)
    with pytest.raises((ValueError, AssertionError)) as info:
        space["f"](0)  # type: ignore[operator]
    return info.value


@pytest.mark.parametrize("how", PROGRAMS)
def test_the_words_of_an_exception_are_others_and_its_class_is_the_same(how):
    code = f"def f(x):\n{PROGRAMS[how]}\n"
    right, twin = _raised(code), _raised(with_other_messages(code, ""))
    assert type(twin) is type(right)
    assert "bad base" in str(right) and "bad base" not in str(twin)
    assert ("0" in str(twin)) == ("0" in str(right))


KEPT = {
    "what the task says": "    raise ValueError('as the task says')",
    "a key": "    raise ValueError({'bad base': x}['bad base'])",
    "a text that is compared": "    try:\n        raise ValueError('soft')\n"
    "    except ValueError as e:\n        assert str(e) != 'soft'",
    "a variable that is returned": "    word = 'soft'\n    if x:\n        return word\n"
    "    raise ValueError(word)",
}


@pytest.mark.parametrize("what", KEPT)
def test_other_words_stay(what):
    code = f"def f(x):\n{KEPT[what]}"
    assert with_other_messages(code, "Raise 'as the task says'.") == code
