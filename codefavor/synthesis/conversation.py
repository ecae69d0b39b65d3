"""A conversation with the teacher, one question after another, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from codefavor.backends.base import Message, Sampling, Usage
from codefavor.engine.context import Context, derived_seed
from codefavor.errors import Rejected
from codefavor.records import Row
from codefavor.sections import without_thinking
from codefavor.synthesis.forms import AnswerFormat, Form

WHOLE = ("stop",)
EVEN_CUT = ("stop", "length")


def model_spec(context: Context) -> str:
    """Kind and model of the run's backend, as a user writes them."""
    return f"{context.backend.name}:{context.backend.model}" if context.backend else ""


class Conversation:
    """The turns of one row. Seeds follow from the run's seed, the row and the turn alone.

    `opening` are messages that stand before (few-shot turns); they are sent, not kept.
    """

    def __init__(
        self,
        context: Context,
        sampling: Sampling,
        answer_format: AnswerFormat,
        opening: Sequence[Message] = (),
    ) -> None:
        self.turns: list[dict[str, str]] = []
        self.usage = Usage()
        self.answer_format = answer_format
        self._context = context
        self._sampling = sampling
        self._opening = list(opening)

    async def ask(
        self, question: str, *, form: Form | None = None, accept: Sequence[str] = WHOLE
    ) -> str:
        """The answer to the next question, without thoughts; no stop strings are ever sent.

        Raises Rejected for an answer that is empty, withheld, or (unless accepted) cut off.
        """
        self.turns.append({"role": "user", "content": question})
        sampling = self._seeded(form)
        try:
            response = await self._context.ask(
                [*self._opening, *self.turns], sampling=sampling, accept=accept
            )
        except Rejected as rejection:
            turn = (len(self.turns) + 1) // 2
            raise Rejected(rejection.reason, f"answer {turn}: {rejection.detail}") from rejection
        answer = without_thinking(response.text)
        self.turns.append({"role": "assistant", "content": answer})
        self.usage += response.usage
        return answer

    def apart(self) -> Conversation:
        """A new conversation of the same row, for a question that must not see this one."""
        return Conversation(self._context, self._sampling, self.answer_format)

    def to_row(self) -> list[Row]:
        """What was said, without the opening."""
        return [dict(turn) for turn in self.turns]

    def _seeded(self, form: Form | None) -> Sampling:
        is_json = form is not None and self.answer_format == "json"
        seed = None
        if self._sampling.temperature > 0 and self._context.can("seed"):
            name = f"{self._context.row_id}/{len(self.turns)}"
            seed = derived_seed(self._context.seed, name)
        return msgspec.structs.replace(
            self._sampling, seed=seed, json_schema=form.schema() if form and is_json else None
        )
