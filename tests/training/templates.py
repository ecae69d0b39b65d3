"""Chat templates that lose a text of a row, or write it elsewhere than it belongs."""

from __future__ import annotations

_TURN = "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
_OPEN = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
_ASKED = "messages[loop.index0 - 1]['content']"
_ANSWER = (
    "{% if m['role'] == 'assistant' %}{{ '<|im_start|>assistant\n' + ANSWER + '<|im_end|>\n' }}"
)
GOOD = "{% for m in messages %}" + _TURN + "{% endfor %}" + _OPEN
# The system's turn is left out.
SYSTEMLESS = (
    "{% for m in messages %}{% if m['role'] != 'system' %}"
    + _TURN
    + "{% endif %}{% endfor %}"
    + _OPEN
)
# The question stands in the turn of the answer: before it, or behind it.
FOLDED = (
    "{% for m in messages %}"
    + _ANSWER.replace("ANSWER", f"{_ASKED} + '\n' + m['content']")
    + "{% elif m['role'] == 'system' %}" + _TURN + "{% endif %}{% endfor %}" + _OPEN
)  # fmt: skip
BEHIND = (
    "{% for m in messages %}"
    + _ANSWER.replace("ANSWER", f"m['content'] + '\nAsked: ' + {_ASKED}")
    + "{% else %}" + _TURN + "{% endif %}{% endfor %}" + _OPEN
)  # fmt: skip
