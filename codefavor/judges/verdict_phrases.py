"""The sentences that name a winner, a loser or a tie, as patterns over marked labels."""

from __future__ import annotations

import re

from codefavor.judges.verdict_labels import LABEL, NOUN

ADVERBS = (
    r"(?:(?:clearly|much|slightly|significantly|definitely|far|overall|generally|somewhat|a bit|"
    r"a little|marginally|likely|probably|certainly|indeed|also|therefore|thus|still|strictly|"
    r"considerably|notably|substantially|objectively|undoubtedly|simply|arguably|ultimately|"
    r"obviously|hence|in my opinion|by far|even|in fact|now|the|my|a|an)[, ]+)*"
)
IS = r"(?:is|was|are|seems(?: to be)?|appears(?: to be)?|looks|remains|comes out as|is deemed)"
GOOD = (
    r"(?:better|superior|preferable|preferred|chosen|stronger|best|winner|winning|less "
    r"(?:wrong|bad|flawed|"
    r"buggy|incorrect|broken)|victor|favou?rite)"
)
BAD = r"(?:worse|inferior|weaker|worst|loser|losing)"
NOT = re.compile(
    r"\b(?:not|never|no|hardly|neither|nor|cannot|without|\w+n['’]t|dont|doesnt|isnt)\b"
)
_PARTICIPLE = (
    r"(?! (?:structured|organi[sz]ed|documented|named|formatted|commented|optimi[sz]ed|designed|"
    r"written|tested|handled|readability|performance|error|time|names?|style|structure|use|"
    r"documentation|variable)\b)"
)
# "Better than the naive approach": not than the other candidate as it stands.
THAN_NOBODY = (
    r" than (?:(?!(?:the )?(?:[①②③]|other|second|first|alternative|latter|former|it)\b"
    r"|its (?:counterpart|rival|competitor|alternative))|[①②] (?:was|would|had|used to)\b)"
)
_NO_BLAME = r"(?<!wrong )(?<!worse )(?<!worst )(?<!bad )(?<!poor )(?<!incorrect )(?<!first )"
LIKE = r"(?:choice|option|pick|answer|one|program|code|solution|verdict|candidate|preference)"
_ABILITIES = r"(?:more (?!or\b)\w+|faster|safer|closer|cleaner|simpler|quicker|clearer)"

_OPINION = (
    r"\W*(?:(?:definitely|clearly|obviously|certainly|surely|probably|in my (?:opinion|view)|"
    r"i (?:think|believe|say)|so|thus|hence|therefore|overall|finally|okay|ok|yes|it['’]?s|it is|"
    r"i['’]?d say|for me|hands down|without question|easily|the answer|my answer)[,: ]+)*"
)

# (pattern, whether the named candidate wins); its only group that matches names the candidate.
STATEMENTS: list[tuple[re.Pattern[str], bool]] = [
    (re.compile(rf"{LABEL},? (?:{IS} )?{ADVERBS}{GOOD}\b{_PARTICIPLE}(?!{THAN_NOBODY})"), True),
    (re.compile(rf"{LABEL} {IS} [^①②.;]{{1,80}}? and (?:is )?{ADVERBS}{GOOD}\b"), True),
    (re.compile(rf"{LABEL} (?:{IS} )?{ADVERBS}{BAD}\b(?!{THAN_NOBODY})"), False),
    (
        re.compile(
            rf"{LABEL} {ADVERBS}(?:outperforms|beats|surpasses|outdoes|wins|exceeds|improves on|"
            r"dominates|is superior|trumps|edges out|outshines|prevails|triumphs|takes the cake|"
            r"comes out (?:ahead|on top|first)|comes? first|stands out)\b"
        ),
        True,
    ),
    (re.compile(rf"{LABEL} {ADVERBS}(?:loses|falls short of|underperforms)\b"), False),
    (
        re.compile(rf"{LABEL} {IS} {ADVERBS}(?:outperformed|beaten|surpassed|outdone) by\b"),
        False,
    ),
    (
        re.compile(
            rf"\b{GOOD}(?: {NOUN}| one| of the two| suited| candidate| pick)*"
            rf"(?: here| overall)?(?: {IS}(?: therefore| clearly)?|:)+ (?:the )?{LABEL}"
        ),
        True,
    ),
    (
        re.compile(
            rf"\b(?:{NOUN}|one) (?:that|which|with the) [^①②.,;]{{0,60}}?\b(?:better|best|"
            rf"more \w+)\b"
            rf"[^①②.,;]{{0,60}}? is {LABEL}"
        ),
        True,
    ),
    (
        re.compile(
            rf"\bi (?:would |['’]d )?(?:find|consider|deem|judge|rate|rank|score) {LABEL} "
            rf"(?:to be )?{ADVERBS}(?:{GOOD}|"
            r"more (?:convincing|persuasive|suitable|appropriate|fitting)|higher)\b"
        ),
        True,
    ),
    (re.compile(rf"\b{BAD}(?: {NOUN}| one| choice)*(?: {IS}|:)+ {LABEL}"), False),
    (
        re.compile(
            r"\b(?:choose|chose|choosing|prefer|pick|select|selected|favou?r|go with|"
            r"recommend(?: using)?|go for|going with|vote for|voting for|opt for|settle on|take|"
            r"lean(?:ing)? towards?|"
            rf"(?:choice|verdict|answer|decision|preference|pick|result|vote) {IS}) {LABEL}"
        ),
        True,
    ),
    (
        re.compile(
            rf"\b{_NO_BLAME}(?:choice|verdict|answer|decision|preference|winner|selected|selection|"
            rf"pick|preferred|better|best|conclusion|chosen)(?: {NOUN}| one)? ?(?::|=>?|->|→| "
            rf"-) ?{LABEL}"
        ),
        True,
    ),
    (re.compile(rf"\bbetter than [①②] {IS} {LABEL}"), True),
    (re.compile(rf"\bmak(?:es|ing) {LABEL} {ADVERBS}{GOOD}\b"), True),
    (re.compile(rf"{LABEL}(?:['’]s)? [^①②.;]*\bmak(?:es|ing) it {ADVERBS}{GOOD}\b"), True),
    (
        re.compile(
            rf"{LABEL} {IS} the (?:only )?(?:{NOUN}|one) (?:that|which) (?:\w+ )?(?:follows|"
            rf"fulfils|"
            r"fulfills|meets|satisfies|solves|works)\b"
        ),
        True,
    ),
    (
        re.compile(
            rf"{LABEL} {IS} {ADVERBS}(?:right |correct |final |(?:one|what) i(?:['’]d| would) )?"
            rf"(?:choose|pick|go with|choice|pick|answer|verdict|preference|favou?rite)\b"
        ),
        True,
    ),
    (
        re.compile(
            rf"{LABEL} (?:gets|has|takes|earns|deserves|receives) (?:the |my )?"
            r"(?:slight |clear |overall )?(?:win|vote|edge|nod|preference|upper hand|victory)\b"
        ),
        True,
    ),
    (
        re.compile(
            rf"\b(?:edge|win|victory|preference|vote|nod|point)s?(?: goes| go)?(?: to| for|:) "
            rf"{LABEL}"
        ),
        True,
    ),
    (
        re.compile(
            rf"{LABEL} {ADVERBS}(?:follows|fulfils|fulfills|meets|satisfies|solves|matches|answers|"
            r"adheres to|implements|addresses|does) [^①②.,;]{0,50}?\b(?:better|best|more \w+ly)\b"
        ),
        True,
    ),
    (
        re.compile(
            rf"{LABEL} {ADVERBS}(?:better|best|more \w+ly) (?:follows|fulfils|fulfills|meets|"
            r"satisfies|solves|matches|answers|adheres|implements|addresses)\b"
        ),
        True,
    ),
    (re.compile(rf"{LABEL} (?:>+|≻|over) ?[①②]"), True),
    (re.compile(rf"{LABEL} (?:<+|≺) ?[①②]"), False),
    (re.compile(rf"[🏆🥇👑] ?(?:winner:? )?{LABEL}"), True),
    (
        re.compile(
            r"\b(?:winner|choice|verdict|answer|decision|one|program) is (?:\w+ )?(?:clear|obvious|"
            rf"simple|easy|evident)(?::| -) ?{LABEL}"
        ),
        True,
    ),
    (
        re.compile(
            rf"\bonly {LABEL} (?:\w+ )?(?:follows|fulfils|fulfills|meets|satisfies|solves|works)\b"
        ),
        True,
    ),
    (re.compile(rf"^\W*(?:since|because|as|given) [^①②.;]{{1,80}}[:,] {LABEL}\W*$"), True),
    (re.compile(rf"^\W*(?:between|of|from) (?:the two|these|them|both),? {LABEL}\W*$"), True),
    (re.compile(rf"^{_OPINION}{LABEL}(?: it is| for me| all the way)?\W*$"), True),
]
# "B does, A does not": the verbs by which a whole task is fulfilled decide, others are a quality.
CONTRAST = re.compile(
    rf"{LABEL} (?!(?:is|does|was) not|(?:is|does)n)([^①②.;]{{2,80}}?),? (?:while |whereas |"
    rf"but |and )?"
    r"[①②] (?:does|is|has|did|was|can)(?: not|n['’]t|not)\W*$"
)
FULFILS = re.compile(
    r"^(?:\w+ )?(?:follows|fulfils|fulfills|meets|satisfies|solves|matches|obeys|adheres to)\b"
)
ABILITY = re.compile(
    rf"{LABEL} (?:{IS}|handles|runs|performs) [^①②.,;]{{0,30}}?\b(?:{_ABILITIES}|better)\b"
)
THE_MORE = re.compile(rf"{LABEL} {IS} {ADVERBS}(?:more \w+|{_ABILITIES}) {LIKE}\b")
BETTER_PARTICIPLE = re.compile(rf"{LABEL} (?:{IS} |has )?{ADVERBS}(?:better|superior) (?=\w)")
TIE = re.compile(
    r"\bequally (?:good|bad|well|suited|suitable|acceptable|valid|strong|preferable)"
    r"|\b(?:is|are|are both|it is|it's|a|call it|ends? in) (?:a )?(?:tie|draw|toss-?up)\b|"
    r"\b(?:them|both|they are|programs)(?: as)? (?:tied|equals?)\b"
    r"|^(?:\W*(?:result|verdict|winner|answer|final verdict|conclusion):? )?(?:a )?(?:tie|"
    r"draw|tied)\W*$"
    r"|\b(?:are|is) (?:tied|on par)\b"
    r"|\bno (?:clear |obvious |real )?(?:winner|better (?:code|program|one|option))\b"
    r"|\bneither(?: of (?:them|the two))?(?: [①②] nor [①②]| code| program| one)? "
    rf"(?:is|was) {ADVERBS}(?:better|superior|preferable)\b|[①②] (?:=+|≈) ?[①②]"
)
ALIKE = re.compile(
    r"\b(?:are|is|both) (?:functionally |essentially |effectively |exactly |semantically )*"
    r"(?:the same|identical|equivalent|equal|comparable)\b|\bequally \w+"
    r"|\bno (?:significant |real |meaningful )?difference\b"
)
NOT_BETTER = re.compile(rf"{LABEL} (?:{IS} )?(?:not|isn't|isn’t|never|hardly) {ADVERBS}{GOOD}\b")
