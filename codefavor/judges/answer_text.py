"""What can be told of an answer from its text: whether it holds the known one, how alike they are.

Likeness is ROUGE-L (rouge-score) and BLEU of one sentence with smoothing (sacrebleu): without it,
the BLEU of every answer of fewer than four words is 0.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

from codefavor.errors import MissingPackageError
from codefavor.judges.number_words import with_digits
from codefavor.judges.taken_back import is_turned
from codefavor.judges.unit_words import is_money, with_one_spelling, with_whole_units
from codefavor.sections import without_thinking

# "A" is an article where a phrase begins; elsewhere it belongs to a name ("Vitamin A").
_ARTICLES = re.compile(
    r"(?<![\w.-])(?:(?:[Aa]n|AN|[Tt]he|THE)\b|a(?=\s+\w))|(?:^|[.!?:;\n\"“(])\s*A(?=\s+\w)"
)
_NOT_NAMED_A = re.compile(r"\b(?:an|the)\b", re.I)
# Initials, with full stops or all large: "us" is none.
_INITIALS = re.compile(r"\b(?:[A-Za-z]\.){2,}|\b[A-Z](?:\.[A-Z])+\b|\b[A-Z]{2,}\b")
# Initials that are another word in small letters.
_WORDS_TOO = frozenset(re.findall(r"\w+", "us it who am in or is me he an as at be by do go if my "
                       "no of on so to up we era aids cat can all"))  # fmt: skip
# Letters of Latin script by their names in Unicode: "Ł" is an L, "Æ" an AE.
_LATIN = re.compile(
    r"LATIN (?:SMALL|CAPITAL) (?:LETTER ([A-Z]{1,2})|LIGATURE ([A-Z]{2,3}))(?: .*)?"
)
# Signs that make another name of a letter.
_SIGNS = re.compile(r"(?<=\b[A-Za-z])(?:#|\+\+)")
_ACCENTS = re.compile(r"(?<=[A-Za-z])[\u0300-\u036f]+")
# "1914-18", where the second is later than the first.
_SHORT_YEARS = re.compile(r"(?<![\d-])((\d\d)(\d\d))-(\d\d)(?![\d-])")
# What is written in two ways, or in a way of which a part is no answer ("7:30" holds no 7).
_SPELT = [
    (re.compile(form), put)
    for form, put in (
        (r"(?<=\d)\^(?=-?\d)", "power"),
        (r"\b([01]?\d|2[0-3]):([0-5]\d)\b", r"\1clock\2"),
        (r"\b([AaPp])\.\s?([Mm])\b\.?", r"\1\2"),
        (r"\b(?:BCE|B\.C\.(?:E\.)?)", "BC"),
        (r"\b(?:AD|A\.D\.) ?(\d+)\b", r"\1 AD"),
        (r"(?<=\d) (?:CE|C\.E\.|A\.D\.)", " AD"),
        (r"\b(?:USD|US\$) ?(?=\d)", "$"),
        (r"\b(\d[\d,.]*) ?USD\b", r"$\1"),
        (r"(?<=\d)k\b", " thousand"),
        (r"(?<=\d)M\b", " million"),
        (r"\b[Hh]alf a (?=thousand|million|billion)", "0.5 "),
        (r"(\d)-(\d+(?:\.\d+)?) (thousand|million|billion)\b", r"\1 \3 \2 \3"),
        (r"\b(ft|feet|foot) (\d+) in\b", r"\1 \2 inches"),
        (r"\b(World War) III\b", r"\1 3"),
        (r"\b(World War) II\b", r"\1 2"),
        (r"\b(World War) I\b", r"\1 1"),
    )
]
_FRACTIONS = re.compile(r"(\d*) ?([¼½¾])")
# Months whose names are other words in small letters, or where a sentence begins.
_MONTHS_TOO = re.compile(r"(?<!^)(?<![.!?] )\b(?:May|March|August)\b|\b(?:May|March|August)\W+\d")
# Of scripts without blanks every character is a word.
_UNSPACED = r"\u0e00-\u0e7f\u3040-\u30ff\u4e00-\u9fff"
_MONTH_NAMES = [
    "january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul",
    "august aug", "september sep sept", "october oct", "november nov", "december dec",
]  # fmt: skip
_MONTHS = {
    name: number for number, names in enumerate(_MONTH_NAMES, start=1) for name in names.split()
}
_MONTH = rf"(?P<month>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})\.?"
_DAY, _YEAR = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?", r"(?P<year>\d{4})"
_DATES = [
    re.compile(form)
    for form in (
        rf"\b{_MONTH} (?:the )?{_DAY},? {_YEAR}\b",
        rf"\b{_DAY} (?:of )?{_MONTH},? {_YEAR}\b",
        r"\b(?P<year>\d{4})([/-])(?P<month>\d{2})\2(?P<day>\d{2})\b",
    )
]
_SLASHED = re.compile(r"\b(\d{1,2})[/.](\d{1,2})[/.](\d{4})\b")
_WEEKDAY = re.compile(
    rf"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day,? (?=(?:the )?(?:\d|{_MONTH}))"
)
# A date without its year or its day.
_PARTS = [
    re.compile(form)
    for form in (
        rf"(?<![\w-]){_MONTH},? (?:of )?{_YEAR}\b(?!-)",
        rf"(?<![\w-]){_MONTH} (?:the )?{_DAY}\b(?![,.]?\d)",
        rf"(?<![\w,.-]){_DAY} (?:of )?{_MONTH}(?!\w)",
    )
]
_YES_NO = re.compile(
    r"^[\W_]*(?:(?P<label>[A-Za-z][A-Za-z ]{0,32}?)[#*_]{0,3}\s?:[\W_]*)?(?P<said>yes|no)[\W_]*$",
    re.I,
)
# What may stand before the yes or no of any question.
_LABEL = re.compile(
    r"(?:(?:the|my|your|final) )*(?:answer|judge?ment|verdict|reply|response|conclusion|result)"
    r"(?: is)?"
)
_BEGINS = re.compile(r"^[\W_]*(yes|no)\b[,.:;!-]", re.I)
# A yes or no without a mark behind it; what is counted ("No information ...") is none.
_GOES_ON = re.compile(
    r"^\W*(yes|no) (?:it|he|she|they|this|that|these|those|both|neither|only|not)\b", re.I
)
# A yes or no that is a statement of its own within a line: between marks, or what an answer is.
_STATED = re.compile(
    r"(?P<before>^|[.!?:;,(–—]|\b(?:answer|verdict|judge?ment) is)[\s\"'*_]*"
    r"(?P<said>yes|no)[\s\"'*_)]*(?=[.,!?:;]|$)",
    re.I,
)


def normalised(
    text: str, *, keeps_a: bool = False, joins_initials: bool = False, says_money: bool = False
) -> str:
    """Lower case without articles, punctuation and extra blanks; dates and numbers in one form.

    "March 2, 1991" and "2 March 1991" become 1991-3-2, "1,000" and "1000.0" 1000, "3.50" 3.5,
    "twenty-one" 21, "5 million" 5000000, "50%" 50 percent, "1914-1918" and "1914-18" the two years,
    "é" e, "ł" l, "ß" ss, "324 m" 324 metre, "first" 1st. With `keeps_a` every "a" is kept, with
    `joins_initials` "U.S." and "US" become one word that "us" is not, with `says_money` "$5" is 5
    dollar, not 5.
    """
    text = re.sub(r"[^\W\da-zA-Z_]", lambda match: _in_ascii(match[0]), text)
    text = _ACCENTS.sub("", unicodedata.normalize("NFD", text))
    text = unicodedata.normalize("NFC", text).replace("–", "-")
    text = _SIGNS.sub(lambda match: "sharp" if match[0] == "#" else "plusplus", text)
    for form, put in _SPELT:
        text = form.sub(put, text)
    text = _FRACTIONS.sub(_in_decimals, text)
    text = re.sub(r"\b[Aa](?=\s+(?:hundred|thousand|million|billion)\b)", "one", text)
    text = with_whole_units(text, says_money=says_money)
    text = (_NOT_NAMED_A if keeps_a else _ARTICLES).sub(" ", text)
    if joins_initials:
        text = _INITIALS.sub(lambda match: f"initials{match[0].replace('.', '')} ", text)
    text = with_one_spelling(text.lower())
    for date in _DATES:
        text = date.sub(_iso, _WEEKDAY.sub("", text))
    text = re.sub(r"(?<=\d),(?=\d{3}(?:th)?\b)", "", text).replace("%", " percent ")
    text = _SHORT_YEARS.sub(_long_years, text)
    text = re.sub(r"(?<![\d-])(\d+)-(?=\d+(?![\d-]))", r"\1 ", text)
    text = re.sub(r"(?<=\d)\.0+\b(?!\.\d)|(?<![\d.])(\d+\.\d*[1-9])0+\b(?!\.\d)", r"\1", text)
    text = re.sub(r"(?<!\d)[.](?!\d)|[^\w\s.-]|(?<=[^\d\s])-|-(?!\d)", " ", text).replace("_", "")
    text = text.replace("per cent", "percent")
    return " ".join(with_digits([word.rstrip(".") for word in text.split()]))


def _in_decimals(match: re.Match[str]) -> str:
    return str(int(match[1] or 0) + unicodedata.numeric(match[2]))


@cache
def _in_ascii(letter: str) -> str:
    """A letter without its stroke or as the letters that it joins; any other one as it is."""
    if letter in "ßẞ":
        return "ss"
    found = _LATIN.fullmatch(unicodedata.name(letter, ""))
    whole = (found[1] or found[2]) if found else letter
    return whole.lower() if found and letter.islower() else whole


def _iso(match: re.Match[str]) -> str:
    month = match["month"].rstrip(".")
    number = _MONTHS.get(month) or int(month)
    return f"{match['year']}-{number}-{int(match['day'])}"


def _long_years(match: re.Match[str]) -> str:
    year, century, before, after = match.groups()
    return f"{year}-{century}{after}" if after > before else match[0]


def contains(answer: str, known: str) -> float | None:
    """1 if the known answer stands in the answer, word by word; None if nothing is left of it.

    A date contains its year, its month and year, and its month and day. Yes or no is what the
    answer says as a whole or begins with: "There is no information" is no "no".
    """
    plain = normalised(known)
    if not plain:
        return None
    if plain in ("yes", "no"):
        said = read_yes_no(answer)
        if said is None and (match := _GOES_ON.match(answer)):
            said = match[1].lower() == "yes"
        return float(said is not None and said == (plain == "yes"))
    if any(
        all(mine in (None, theirs) for mine, theirs in zip(wanted, one, strict=True))
        for wanted in dates_of(known, is_whole=True)
        for one in dates_of(answer)
    ):
        return 1.0
    if plain in ("may", "march", "august"):
        return float(normalised(answer) == plain or _MONTHS_TOO.search(answer) is not None)
    if is_money(known):
        # "5 million" alone says what was asked for; "5 million people" are no money.
        if normalised(answer, says_money=True) == plain:
            return 1.0
        return float(_stands(answer, known, says_money=True))
    must_join = any(one.replace(".", "").lower() in _WORDS_TOO for one in _INITIALS.findall(known))
    return float(
        any(
            _stands(answer, known, joins_initials=joins, says_money=money)
            for joins in ({True} if must_join else {False, True})
            for money in (False, True)
        )
    )


def _stands(
    answer: str, known: str, *, joins_initials: bool = False, says_money: bool = False
) -> bool:
    """Whether the known answer stands in the answer in this form; a number not in a percentage."""
    wanted = normalised(
        known, joins_initials=joins_initials, says_money=says_money and is_money(known)
    ).split()
    n = len(wanted)
    for keeps_a in {False, "a" in wanted}:
        words = normalised(
            answer, keeps_a=keeps_a, joins_initials=joins_initials, says_money=says_money
        ).split()
        for at in range(len(words) - n + 1):
            is_percent = wanted[-1][-1].isdigit() and words[at + n : at + n + 1] == ["percent"]
            if words[at : at + n] == wanted and not is_percent:
                return True
    return False


def dates_of(text: str, *, is_whole: bool = False) -> list[tuple[int | None, ...]]:
    """Year, month and day of each date in a text, None where one is not said.

    A text that is a year alone is one. With `is_whole` only of a text that is one date.
    """
    text = _WEEKDAY.sub("", with_one_spelling(text.lower().strip(" .,")))
    if re.fullmatch(r"\d{4}", text):
        return [(int(text), None, None)]
    found: list[tuple[int | None, ...]] = []
    for form in (*_DATES, *_PARTS):
        for match in [form.fullmatch(text)] if is_whole else form.finditer(text):
            if match is not None:
                parts = match.groupdict()
                month = parts["month"].rstrip(".")
                year, day = (int(parts[one]) if parts.get(one) else None for one in ("year", "day"))
                found.append((year, _MONTHS.get(month) or int(month), day))
    for match in [_SLASHED.fullmatch(text)] if is_whole else _SLASHED.finditer(text):
        if match is not None:
            # The day first or the month first: who wrote it does not say.
            one, two, year = map(int, match.groups())
            found += [(year, month, day) for month, day in ((one, two), (two, one)) if month < 13]
    return found


def n_words(text: str) -> float:
    """Words, by blanks; of Chinese and its like, which have none, every character."""
    return float(len(re.findall(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+", text)))


class _Words:
    """The words of any script, for rouge-score, whose own are runs of a to z and digits; in a text
    of these alone they are the same."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+", text.lower())


def rouge_l(answer: str, known: Sequence[str]) -> float:
    """The best ROUGE-L F1, in [0, 1], of the known answers. Source: Lin 2004."""
    scorer = _rouge()
    return max(float(scorer.score(one, answer)["rougeL"].fmeasure) for one in known)


@cache
def _rouge() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingPackageError("rouge_score", "train", "ROUGE-L") from error
    return RougeScorer(["rougeL"], tokenizer=_Words())


def bleu(answer: str, known: Sequence[str]) -> float:
    """Sentence BLEU in [0, 1] with exponential smoothing and the orders that the texts have."""
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise MissingPackageError("sacrebleu", "train", "BLEU") from error
    metric = BLEU(effective_order=True, smooth_method="exp")
    return float(metric.sentence_score(answer, list(known)).score) / 100


def closer(answer: str, right: Sequence[str], wrong: Sequence[str]) -> float:
    """1 if the answer is more like a right one than like any wrong one by ROUGE-L, 1/2 if even."""
    ours, theirs = rouge_l(answer, right), rouge_l(answer, wrong)
    return 0.5 if ours == theirs else float(ours > theirs)


def read_yes_no(reply: str, name: str = "", *, labels: Sequence[str] = ()) -> bool | None:
    """Yes or no, where the reply says it alone on its last line or at its very beginning.

    Before it may stand what names no other question ("Answer: yes"), or one of the question's own
    labels, in lower case. With a name, what stands behind "NAME:" at the beginning of one line.
    None where neither or both are said: a reply that says nothing is no judgement, nor is one that
    states the other word somewhere too or takes it back ("Yes ... Wait, that is wrong"); what it
    says under another label counts unless the last line is the one that was asked for.
    """
    lines = [line.strip() for line in without_thinking(reply).splitlines() if line.strip()]
    if name:
        named = [line.partition(":")[2] for line in lines if _names(line, name)]
        found = {one for line in named if (one := _said(line, labels))}
        n_named = len(re.findall(rf"\b{re.escape(name)}\W*:", reply, re.I))
        first = next((at for at, line in enumerate(lines) if _names(line, name)), 0)
        behind = lines[first + 1 :]
        is_doubted = is_turned("\n".join(lines[first:])) or _denies(behind, name)
        return found == {"yes"} if len(found) == 1 and n_named == 1 and not is_doubted else None
    if not lines:
        return None
    stated = next((at for at, line in enumerate(lines) if _said(line, labels)), len(lines))
    if is_turned("\n".join(lines[0 if _BEGINS.match(lines[0]) else stated :])):
        return None
    said = {one for line in lines if (one := _said(line, labels))}
    if match := _BEGINS.match(lines[0]):
        said.add(match[1].lower())
        # "Yes, and No": a small "no" is part of many sentences, a large one is an answer.
        said |= {one.lower() for one in re.findall(r"\b(?:[Yy]es|YES|N[oO])\b", lines[0])}
    elif not _said(lines[-1], labels) and not _said(lines[0], labels):
        return None
    for line in lines:
        if _said(line, labels):
            continue
        for match in _STATED.finditer(line):
            if match["before"] != ":" or not _said(lines[-1], labels):
                said.add(match["said"].lower())
    return said == {"yes"} if len(said) == 1 else None


def _denies(behind: Sequence[str], name: str) -> bool:
    """Whether lines below a named one answer it anew: a bare yes or no, or that it is not so."""
    own = rf"(?i)(?:\b(?:not|never|no longer)\b[^.\n]{{0,20}}|n['’]t\s|\b(?:un|non-?)){name}\b"
    return any(
        bool(re.search(own, line)) or (":" not in line and bool(_said(line, ()))) for line in behind
    )


def _said(line: str, labels: Sequence[str]) -> str:
    """The yes or no that a line says alone; "" for none, and for one under another label."""
    match = _YES_NO.match(line)
    if match is None:
        return ""
    label = " ".join((match["label"] or "answer").lower().split())
    return match["said"].lower() if label in labels or _LABEL.fullmatch(label) else ""


def _names(line: str, name: str) -> bool:
    return line.lstrip(string.punctuation + " ").lower().startswith(name.lower()) and ":" in line
