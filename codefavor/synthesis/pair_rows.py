"""A preference pair in the making: what both pipelines share from the answer to the row."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from codefavor.backends.base import Backend, Sampling
from codefavor.engine.context import Context
from codefavor.engine.runner import Step
from codefavor.errors import ConfigError, Rejected
from codefavor.languages import language_title
from codefavor.pairs.normalise import COMMENTS, NAMES, normalise_pair
from codefavor.prompts.chat import CHOSEN_TAG, REJECTED_TAG
from codefavor.records import Preference, Row, content_id
from codefavor.sections import canonical_tags
from codefavor.synthesis.conversation import Conversation
from codefavor.synthesis.forms import AnswerFormat

# What a teacher may call the two programs; the first names are the ones it was asked to use.
_TAGS = {
    CHOSEN_TAG: ("CHOSEN_CODE", "IMPROVED_CODE", "CHOSEN", "IMPROVED"),
    REJECTED_TAG: ("REJECTED_CODE", "DRAFT_CODE", "REJECTED", "DRAFT"),
}


@dataclass(frozen=True)
class PairSettings:
    """How a pipeline asks and what it does to the pairs; all of it belongs into the manifest."""

    sampling: Sampling
    answer_format: AnswerFormat
    comments: str = "strip"
    names: str = "neutral"

    def __post_init__(self) -> None:
        for option, value, known in (
            ("comments", self.comments, COMMENTS),
            ("names", self.names, NAMES),
        ):
            if value not in known:
                raise ConfigError(f"unknown --{option} {value!r}; known: {', '.join(known)}")

    def to_row(self) -> Row:
        """The plain JSON form."""
        return {**dataclasses.asdict(self), "sampling": self.sampling.to_row()}


@dataclass
class PairInProgress:
    """What is known of a pair so far. A rejection keeps all of it."""

    source: str
    input_id: str
    language: str
    license: str
    settings: PairSettings
    talk: Conversation
    problem_id: str = ""
    entry_point: str = ""
    tests: str = ""
    instruction: str = ""
    chosen: str = ""
    rejected: str = ""
    aspect: str = ""
    criteria: str = ""
    feedback: str = ""
    evidence: Row = field(default_factory=dict)
    meta: Row = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The language as people write it."""
        return language_title(self.language)

    def add_feedback(self, text: str) -> None:
        """Take the feedback, its mentions of the programs made one tag each.

        Raises Rejected (`feedback_names_no_code`) if it names neither.
        """
        self.feedback = canonical_tags(text, _TAGS)
        if CHOSEN_TAG not in self.feedback and REJECTED_TAG not in self.feedback:
            raise Rejected("feedback_names_no_code", text[:200])

    async def finish(self, check: Check, context: Context) -> Preference:
        """Normalise, check, and make the row. Raises Rejected where the pair does not hold."""
        normalised = normalise_pair(
            self.chosen,
            self.rejected,
            self.language,
            comments=self.settings.comments,
            names=self.settings.names,
            keep=f"{self.instruction} {self.entry_point}",
        )
        self.chosen, self.rejected = normalised.chosen, normalised.rejected
        for old, new in normalised.renamed.items():
            self.feedback = re.sub(rf"\b{re.escape(old)}\b", new, self.feedback)
        self.meta["comments"], self.meta["names"] = normalised.comments, normalised.names
        await check(self, context)
        return Preference(
            id=content_id(self.source, self.input_id, self.chosen, self.rejected),
            instruction=self.instruction,
            chosen=self.chosen,
            rejected=self.rejected,
            criteria=self.criteria,
            feedback=self.feedback,
            evidence=self.evidence,
            source=self.source,
            problem_id=self.problem_id,
            language=self.language,
            license=self.license,
            meta=self.meta_row("pair"),
        )

    def meta_row(self, kind: str) -> Row:
        """The row's `meta`: what kind of row it is and everything about how it was made."""
        return {
            "kind": kind,
            "input_id": self.input_id,
            "aspect": self.aspect,
            "format": self.settings.answer_format,
            **self.meta,
            "usage": self.talk.usage.to_row(),
            "conversation": self.talk.to_row(),
        }

    def rejection_row(self) -> Row:
        """Every field that is known, for the journal."""
        names = "instruction chosen rejected criteria feedback evidence"
        names += " source problem_id language license"
        return {name: getattr(self, name) for name in names.split()} | {
            "meta": self.meta_row("rejected")
        }


Begin = Callable[[Row, Context], PairInProgress]
# What checks a pair: it adds to the evidence, and raises Rejected where this contradicts the label.
Check = Callable[[PairInProgress, Context], Awaitable[None]]
# What asks for the rest of a pair; returns another result of the step in its place, if any.
Ask = Callable[[PairInProgress, Row], Awaitable[Row | None]]


def make_pair_step(begin: Begin, ask: Ask, check: Check) -> Step:
    """A step whose rejections keep what there was of the pair, the conversation included."""

    async def step(row: Row, context: Context) -> Row:
        pair = begin(row, context)
        try:
            other = await ask(pair, row)
            return other or (await pair.finish(check, context)).to_row()
        except Rejected as rejection:
            raise Rejected(rejection.reason, rejection.detail, pair.rejection_row()) from rejection

    return step


def pair_manifest(
    step: str,
    backend: Backend,
    settings: PairSettings,
    verify: Row,
    *,
    seed: int,
    prompts: Mapping[str, str],
) -> Row:
    """The settings that a journal of pairs is bound to; `prompts` are names and hashes."""
    return {
        "step": step,
        "backend": backend.identity,
        "settings": settings.to_row(),
        "verify": verify,
        "seed": seed,
        "prompts_sha256": dict(prompts),
    }
