"""What follows a right program in a reply and is no program of its own does not replace it."""

from __future__ import annotations

import pytest

from codefavor.scoring.answers import continued, program_of

RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"


def fence(code: str, language: str = "python") -> str:
    """A block as a model writes it."""
    return f"```{language}\n{code}```\n"


LATER = {
    "pseudo code": fence("def add(a, b):\n    compute the sum\n", ""),
    "a broken one-liner": fence("def add(a, b): return a + \n"),
    "Ruby": fence("def add(a, b)\n  a - b\nend\n", "ruby"),
    "Cython": fence("def add(int a, int b):\n    return a - b\n", "cython"),
    "JavaScript that Python reads": fence("add = other\n", "javascript"),
    "a skeleton that raises": fence("def add(a, b):\n    raise NotImplementedError('you')\n"),
    "a skeleton to do": fence('def add(a, b):\n    """Add."""\n    # TODO\n    return None\n'),
    "a sketch": fence("def add(a, b):\n    # ...\n    return ...\n"),
    "its key part": fence("def add(a, b):\n    total = a - b\n    # ... loop ...\n"),
    "its key part, returning": fence("def add(a, b):\n    # ...\n    return a - b\n"),
    "dots between statements": fence("def add(a, b):\n    a = -a\n    ...\n    return a - b\n"),
    "a change": fence("def add(a, b):\n    print('adding')\n    # rest unchanged\n"),
    "a new guard": fence(
        "def add(a, b):\n    if not a:\n        return 7\n\n    # same as before\n\nadd(1, 2)\n"
    ),
    "a cache around it": fence("import functools\nadd = functools.lru_cache(None)(add)\n"),
    "a result of its name": fence("add = add(1, 2)\nprint(add)\n"),
    "output": fence("add = 3\n", ""),
}


@pytest.mark.parametrize("later", LATER)
def test_what_is_no_program_of_its_own_does_not_count(later: str) -> None:
    assert program_of(f"{fence(RIGHT)}\nAnd:\n\n{LATER[later]}", "add") == RIGHT


@pytest.mark.parametrize("later", LATER)
def test_alone_it_is_what_the_reply_says(later: str) -> None:
    code = LATER[later].split("\n", 1)[1].removesuffix("```\n")
    assert program_of(LATER[later], "add").strip() in (code.strip(), "")


@pytest.mark.parametrize(
    "turn",
    [
        "\n<|im_end|>\n<|im_start|>user\nSubtract<|im_end|>\n<|im_start|>assistant\n{0}<|im_end|>",
        "This adds.<|im_end|>\n<|im_start|>user\nSubtract<|im_end|>\n<|im_start|>assistant\n{0}",
        "\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nSubtract<|eot_id|>\n\n{0}<|eot_id|>",
        "This adds.</s>[INST] Subtract [/INST]\n{0}</s>",
        "This adds.<end_of_turn>\n<start_of_turn>user\nSubtract<end_of_turn>\n\n{0}",
    ],
    ids=["own line", "behind prose", "Llama 3", "Mistral", "Gemma"],
)
def test_the_next_turn_is_not_the_answer(turn: str) -> None:
    assert program_of(fence(RIGHT) + turn.format(fence(WRONG)), "add") == RIGHT
    assert program_of(RIGHT + "\n" + turn.format(WRONG), "add").strip() == RIGHT.strip()


@pytest.mark.parametrize(
    "code",
    [
        'def add(a, b):\n    """Add.\n```\nadd(1, 2)\n```\n    """\n    return a + b\n',
        '"""Module.\n\n```python\nadd(1, 2)\n```\n"""\n\n\n' + RIGHT,
        'def add(a, b):\n    md = """\n```\ncode\n```\n"""\n    return a + b\n',
    ],
    ids=["docstring", "module's docstring", "text"],
)
@pytest.mark.parametrize("behind", ["", f"\nOr:\n\n{fence('print(add(1, 2))' + chr(10))}"])
def test_a_fence_within_a_text_of_the_program_does_not_end_it(code: str, behind: str) -> None:
    assert program_of(f"Here:\n\n{fence(code)}{behind}", "add") == code


def test_what_stands_before_the_first_function_of_a_prompt_is_part_of_the_program() -> None:
    prompt = 'N = 5\n\ndef add(x):\n    """Add N."""\n'
    assert continued(prompt, "    return x + N\n\nThat is all.") == prompt + "    return x + N\n"


def test_a_comment_at_its_end_does_not_make_a_whole_function_a_fragment() -> None:
    later = "def add(a, b):\n    return a - b\n    # O(1)\n"
    assert program_of(f"{fence(RIGHT)}\nOr:\n\n{fence(later)}", "add") == later


def test_a_function_that_gives_back_nothing_is_read_behind_its_beginning() -> None:
    prompt = "def clear(xs):\n"
    body = "    # Empties it.\n    xs.clear()\n    # Done.\n"
    assert program_of(fence(body), "clear", prompt=prompt).strip() == (prompt + body).strip()


_CLASS = "class Solution:\n    def add(self, a, b):\n        return a + b\n"


@pytest.mark.parametrize(
    "later",
    [
        "class Solution:\n    def add(self, a, b):\n        pass\n",
        "class Solution:\n    # ... as before\n    def sub(self, a, b):\n        return a - b\n",
        "class Solution:\n    def sub(self, a, b):\n        self.c = a\n    # rest unchanged\n",
    ],
)
def test_a_part_of_a_class_does_not_replace_the_class(later: str) -> None:
    assert program_of(f"{fence(_CLASS)}\nAnd:\n\n{fence(later)}", "Solution") == _CLASS
    code = continued("", f"{_CLASS}\n\n{later}", "Solution")
    assert code == _CLASS
