"""1,070 replies written down with their readings before a reader was run on them: no wrong winner.

720 are of 2026-11-25, when a reader of sentences was made with them: ten rounds, each written
against what had become of it, the ninth and tenth (`verdict_replies.jsonl`) by somebody else; a
reply with two readings allows either. 200 (`frozen_replies.txt`) were written later by somebody
who had read neither that reader, nor these, nor the prompts, and were never changed since. 150
(`tricky_replies.jsonl`, 2026-11-29) are in the forms of MT-bench, Prometheus, Auto-J and of our own
prompts, bent until the form alone misleads: 45 had a wrong winner at first. Today's reader
may leave any of them unread, and then asks again; it may not read one wrongly.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from codefavor.judges.verdict_reader import read_verdict
from codefavor.records import read_rows

DATA = Path(__file__).parent / "data"
OTHERS = [(row["reply"], row["readings"]) for _, row in read_rows(DATA / "verdict_replies.jsonl")]

# The 24 forms on which the first generation of such parsers was measured (14 went wrong).
PROBES = [
    ("[CODE_A] is better than [CODE_B]", "A"),
    ("Therefore, [CODE_B] is better than [CODE_A] on the mentioned criteria.", "B"),
    ("[CODE_A] is better.", "A"),
    ("Neither [CODE_A] nor [CODE_B] is better.", "tie"),
    ("**[CODE_B]** is better than **[CODE_A]**.", "B"),
    ("Code A is better than Code B because it is shorter.", "A"),
    ("The better code is [CODE_B].", "B"),
    ("CODE_A is much better than CODE_B.", "A"),
    ("I cannot decide.", "undecided"),
    ("", "undecided"),
    ("[CODE_A] is not better than [CODE_B]", "undecided"),
    ("[CODE_A] is worse than [CODE_B]", "B"),
    ("[CODE_B]", "B"),
    ("CODE_B outperforms CODE_A", "B"),
    ("A superior to B", "A"),
    ("A is better than B", "A"),
    ("Compared with [CODE_A], [CODE_B] is better", "B"),
    ("The code better suited is [CODE_A]", "A"),
    ("[CODE_A] is better than [CODE_B], while neither is perfect", "A"),
    ("There is no better code: A and B are the same", "tie"),
    ("[CODE_A] and [CODE_B] are equally good", "tie"),
    ("[CODE_A] is better than [CODE_B]. This Result follows from the criteria.", "A"),
    ("[CODE_B] is superior to [CODE_A]", "B"),
    ("[CODE_A] is preferable", "A"),
]

# Written before the parser was first run on them, and not used to make it.
CLEAR = [
    ("[RESULT] A", "A"),
    ("[RESULT] B", "B"),
    ("Program A misses the empty list.\n[RESULT] B", "B"),
    ("Program B is better at first sight.\n\n[RESULT] A\n", "A"),
    ('{"feedback": "B loops forever", "winner": "A"}', "A"),
    ('```json\n{"winner": "B"}\n```', "B"),
    ('{"winner": "tie"}', "tie"),
    ("A", "A"),
    ("b", "B"),
    ("(B)", "B"),
    ("**A**", "A"),
    ("Answer: B", "B"),
    ("Final answer: A", "A"),
    ("**Verdict:** B", "B"),
    ("The answer is B.", "B"),
    ("I prefer Program A over Program B.", "A"),
    ("I would choose B.", "B"),
    ("Program B wins.", "B"),
    ("The winner is Program A.", "A"),
    ("Program A is beaten by Program B.", "B"),
    ("Program B is inferior to Program A.", "A"),
    ("Program A is better at readability, but overall Program B is better.", "B"),
    ("It is a tie.", "tie"),
    ("tie", "tie"),
    ("Both programs are equivalent.", "tie"),
    ("A > B", "A"),
    ("B is clearly the better choice.", "B"),
    ("Unlike Program A, Program B is better.", "B"),
    ("<think>A is better</think>\n[RESULT] B", "B"),
    ("Solution B is slightly better than solution A.", "B"),
    ("A careful look shows that B is better.", "B"),
    ("Program A is not better than Program B. Program B is better.", "B"),
    ("[RESULT]\nProgram B", "B"),
    ("### Verdict\nProgram A is better because it handles None.", "A"),
    ("My choice: B", "B"),
    (
        "Program A fails on n = 0, whereas Program B is correct and therefore better. [RESULT] B",
        "B",
    ),
    ("Neither program is better.", "tie"),
]
UNCLEAR = [
    "Program A is better. Program B is better.",
    "Either could be better.",
    "Is A better than B?",
    "If the input is sorted, A is better.",
    "A or B",
    "Program A is longer than Program B.",
    "Program A might be better.",
    "It depends on the input.",
    "A better program would check its input.",
    "[RESULT] Both",
    "<think>B is better",
    '{"winner": "C"}',
    '{"winner": "A", "choice": "B"}',
    "B is not worse than A.",
    "As an AI, I cannot say which one is better.",
    "The author claims that A is better.",
    "Program A is correct.",
    "[RESULT]",
    "Neither is correct.",
    "Program A is not worse.",
    '{"winner": null}',
    "See the table above.",
]

# Three later sets, each run for the first time on 2026-11-25 and then mended: 6 of 50, 2 of 32 and
# 2 of 25 were read wrong at first (the last two were clear ones left undecided).
LATER_CLEAR = [
    ("[RESULT] Therefore [CODE_B] is better than [CODE_A] on the mentioned criteria.", "B"),
    ("[RESULT]: A", "A"),
    ("RESULT: B", "B"),
    ("Verdict: Program A is better.", "A"),
    ("Program B is the better program.", "B"),
    ("Overall, Program A is more efficient and therefore better than Program B.", "A"),
    ("The better program is B.", "B"),
    ("Better: A", "A"),
    ("Winner: B", "B"),
    ("**Winner: Program A**", "A"),
    ("Preferred: B", "B"),
    ("I pick A.", "A"),
    ("My verdict is B.", "B"),
    ("Program A is superior.", "A"),
    ("A beats B.", "A"),
    ("B outperforms A on every input.", "B"),
    ("Program A is worse than Program B.", "B"),
    ("Program A is preferable to Program B.", "A"),
    ("[[A]]", "A"),
    ("[[B]]", "B"),
    ("\\boxed{A}", "A"),
    ("<answer>B</answer>", "B"),
    ("Program B is better, although Program A is shorter.", "B"),
    ("Although Program A is shorter, Program B is better.", "B"),
    ('Here is my judgement: {"feedback": "A leaks memory.", "winner": "B"}', "B"),
    ('{"winner": "Program A"}', "A"),
    ("Tie", "tie"),
    ("The two programs are equally good.", "tie"),
    ("There is no difference between the two; it is a tie.", "tie"),
    ("A<B", "B"),
    ("The correct choice is Program B", "B"),
    ("Program A is much worse; B wins.", "B"),
    ("Program A is simpler and faster, so A is better.", "A"),
    ("[RESULT]\n\n[CODE_A] is better than [CODE_B] on correctness.", "A"),
    ("**Result:** Program B is better than Program A", "B"),
    ("B is better because A crashes on empty input.", "B"),
    ("I'd go with B", "B"),
    ("The better one is A.", "A"),
    ("Program A is more readable, but Program B is better overall.", "B"),
    ("Neither A nor B is better.", "tie"),
    ("Conclusion: B", "B"),
    ("### Final verdict\n\nB", "B"),
    ("I vote for A.", "A"),
    ("A is better than B in every respect", "A"),
    ("Program B is faster and clearly better.", "B"),
    ("Program A was better.", "A"),
    ('<thinking>long</thinking>{"winner": "B", "feedback": ""}', "B"),
    ("Response A is better", "A"),
    ("Solution 'B' is better", "B"),
    ("B >> A", "B"),
    ("Result: tie", "tie"),
    ("Both are the same.", "tie"),
    ("Therefore, Program A is better.", "A"),
    ("[RESULT] [CODE_B]", "B"),
    ("Between the two, B is better.", "B"),
    ("Given the criteria, A is the better program.", "A"),
    ("Final verdict: tie", "tie"),
    ('{"feedback": "x < y", "winner": "b"}', "B"),
    ("Program B is worse.", "A"),
    ("A is inferior.", "B"),
    ("Program B is better suited to the criteria.", "B"),
    ("The more secure program is B, so B is better.", "B"),
    ("Winner - A", "A"),
    ("Answer: **Program B**", "B"),
    ("Program A is correct. Program B is not. A is better.", "A"),
    ("I would say that Program B is better.", "B"),
    ("Hence B is better", "B"),
    # Once held to be unclear; but the programs are shown in this order and in no other.
    ("[RESULT] The first program", "A"),
]
LATER_UNCLEAR = [
    "Program A has two functions and Program B has three.",
    "I would need to run both programs.",
    "Program A would be better if it handled zero.",
    "Program B may be better.",
    "Which is better, A or B?",
    "Both have bugs.",
    "[RESULT] neither",
    "[RESULT] A and B",
    "A is better for small inputs; B is better for large inputs.",
    "The prompt says to answer [RESULT] A or [RESULT] B",
    '{"feedback": "A is better"}',
    '{"winner": ["A"]}',
    "Program A isn't better.",
    "It is unclear whether A is better.",
    "Program C is better.",
    "",
    "   \n",
    "I refuse.",
    "Program A is faster and Program B is safer.",
    "A is better or B is better.",
    "Program A is not clearly better.",
    "Let me think about A.",
    "Program A is better than expected.",
    "I am not sure that B is better.",
    "Neither.",
    "\\boxed{C}",
    "<answer>both</answer>",
    "Program A should be better but is not.",
    "[RESULT] unknown",
    "A, B",
    "Program B is correct and Program A is correct.",
    "A is better at speed and B is better at memory.",
    "Better error handling would help.",
    "Program A and Program B differ.",
    "I think it could be B.",
    "None of them is better.",
    "[RESULT] C",
    "Say A or B.",
    "Program A is neither better nor worse.",
    "better",
]

ROUND_1 = [
    # Labels in every dress.
    ("\\boxed{A}", "A"),
    ("The final answer is $\\boxed{\\text{Program B}}$.", "B"),
    ("[[B]]", "B"),
    ("My final verdict is: [[A>>B]]", "A"),
    ("[[A=B]]", "tie"),
    ("<answer>B</answer>", "B"),
    ("<reasoning>Program B is O(n).</reasoning>\n<winner>Program A</winner>", "A"),
    ("[RESULT]: **Program B**", "B"),
    ("### Result\n\n`A`", "A"),
    ("[RESULT] B<|im_end|>", "B"),
    ("🏆 **Winner: Program B**", "B"),
    ("Option B.", "B"),
    ("A.", "A"),
    ("(a)", "A"),
    ("Selected program: B", "B"),
    ("[RESULT] \\text{B}", "B"),
    # The answer first, its reasons after it.
    ("B\n\nProgram A raises on an empty list, while Program B returns 0.", "B"),
    ("Program B is better.\n\nHere is why:\n- Program A is O(n^2)\n- Program B is O(n)", "B"),
    ("**Program A** is the better choice. Program B fails on negative numbers.", "A"),
    ("[RESULT] A\n\nLet me know if you want a deeper analysis of either program!", "A"),
    ("[RESULT] B\n\nNote: Program A could be repaired with a check for the empty list.", "B"),
    ("[RESULT] A (confidence: 85%)", "A"),
    ("[RESULT] A\n\nProgram B is faster than Program A, but it returns the wrong type.", "A"),
    ("Program A, because it handles `None`.", "A"),
    # Other names for the two programs.
    ("Response 2 is better.", "B"),
    ("I prefer the first one.", "A"),
    ("The second solution is clearly superior.", "B"),
    ("Implementation 1 is more efficient and therefore preferable to Implementation 2.", "A"),
    ("Between Program A and Program B, the latter is better.", "B"),
    ("Assistant A's code is better than Assistant B's code.", "A"),
    ("I'd go with Snippet B.", "B"),
    # Structured answers that are not quite the schema.
    ('```json\n{"winner": "B", "confidence": 0.9, "scores": {"A": 3, "B": 8}}\n```', "B"),
    ('Here is my assessment:\n{"feedback": "Uses {} well.", "winner": "A"}\nHope it helps!', "A"),
    ("{'winner': 'B', 'feedback': 'A fails.'}", "B"),
    ('{"verdict": {"winner": "A", "reason": "B loops forever"}}', "A"),
    ('{"winner": "Program B"}', "B"),
    ('{"feedback": "Both do the same thing.", "winner": "draw"}', "tie"),
    ('<tool_call>{"name": "submit", "arguments": {"winner": "B"}}</tool_call>', "B"),
    # Scores and comparisons.
    ("A: 7/10, B: 9/10", "B"),
    ("Program A: 8/10\nProgram B: 8/10", "tie"),
    ("Score for Program A: 9\nScore for Program B: 4\n\nProgram A wins.", "A"),
    ("A > B", "A"),
    # Tables.
    (
        "| Criterion | Better |\n|---|---|\n| Correctness | A |\n| Readability | B |\n"
        "| **Overall** | **A** |",
        "A",
    ),
    (
        "| | Program A | Program B |\n|---|---|---|\n| Correct | no | yes |\n\n**Winner:** B",
        "B",
    ),
    # Thinking aloud, and changed minds.
    ("<think>\nA is better. Wait, A fails for 0.\n</think>\n\n[RESULT] B", "B"),
    ("<think>Program A looks better, so I would say A", "undecided"),
    ("[RESULT] A\n\nWait, I misread Program A: it never returns. Corrected:\n\n[RESULT] B", "B"),
    ("A is not bad, but B is better.", "B"),
    ("At first I preferred Program B. On reflection, Program A is the better program.", "A"),
    ("I will end with [RESULT] A or [RESULT] B.\n\nProgram B leaks memory.\n\n[RESULT] A", "A"),
    # Other languages.
    ("Programm B ist besser als Programm A.", "B"),
    ("El programa A es mejor.", "A"),
    ("程序B更好。", "B"),
    ("Le programme A est meilleur que le programme B.", "A"),
    # Ties.
    ("Both programs are functionally identical, so neither is better.", "tie"),
    ("[RESULT] Tie", "tie"),
    ("It is a tie between Program A and Program B.", "tie"),
    # Nothing that can be read.
    ("I'm sorry, but I can't help with evaluating this code.", "undecided"),
    ("As an AI, I cannot pick a winner: A and B each have their merits.", "undecided"),
    ("A program that checks its input is better.", "undecided"),
    ("A better approach would be to use a set.", "undecided"),
    ("A great question! Let us look at both programs step by step.", "undecided"),
    ("Program A is better for small inputs, Program B is better for large ones.", "undecided"),
    ("[RESULT]", "undecided"),
    ("Therefore, the better program is Program", "undecided"),
    ('{"feedback": "Program B is better because it', "undecided"),
    ("Which program is better, A or B?", "undecided"),
    ("[RESULT] A or B", "undecided"),
    ("```python\ndef f(a, b):\n    return a if a > b else b\n```", "undecided"),
    ("Please provide both programs so that I can compare them.", "undecided"),
]


ROUND_2 = [
    # Whole replies as chat models write them.
    (
        "Both programs sum the list, but they treat the empty list differently.\n\n"
        "**Program A:** returns 0 as asked.\n\n**Program B:** raises a `ValueError`.\n\n"
        "Since the instruction asks for 0, Program A follows it better.",
        "A",
    ),
    (
        "## Analysis\n\n### Program A\n- uses recursion\n- may overflow\n\n### Program B\n"
        "- uses a loop\n- constant memory\n\n## Recommendation\n\n**Program B**",
        "B",
    ),
    (
        "1. Correctness: both are right.\n2. Efficiency: B uses a set, A a list.\n"
        "3. Style: A is cleaner.\n\nGiven that efficiency is the criterion, B is the better "
        "choice.",
        "B",
    ),
    (
        "Sure! Here's my comparison.\n\nProgram A never closes the file. Program B uses `with`.\n\n"
        "So I would pick **Program B**.\n\nIs there anything else you would like me to check?",
        "B",
    ),
    ("The better program is Program A, since Program B does not check if the key exists.", "A"),
    ("Program B. It validates the input, which A does not.", "B"),
    ("A is the correct choice here; B would raise a KeyError.", "A"),
    ("Winner: A ✅", "A"),
    ("Final Answer: \\( \\boxed{B} \\)", "B"),
    ("**Answer**: (A) Program A", "A"),
    ("[RESULT] **A**\n\n---\n\n*Reasoning:* B mutates its argument.", "A"),
    ("RESULT: [B]", "B"),
    ("[RESULT]B", "B"),
    ("[RESULT] Program A is the better of the two.", "A"),
    ("[RESULT] B is better, although A is easier to read.", "B"),
    ("assistantfinal[RESULT] A", "A"),
    ("</think>\n\nB", "B"),
    # Structured.
    ('{"analysis": "A is slow", "better_program": "B", "confidence": "high"}', "B"),
    ('{"winner": "A",}', "A"),
    ('[{"winner": "B"}]', "B"),
    ('{"criteria": {"speed": {"winner": "A"}, "safety": {"winner": "B"}}, "winner": "B"}', "B"),
    ('{"scores": {"Program A": 4, "Program B": 2}}', "A"),
    ("winner: B\nreason: handles negative numbers", "B"),
    ("<response><feedback>B is faster.</feedback><winner>B</winner></response>", "B"),
    # Scores.
    ("Program A gets a score of 3 out of 5, Program B gets 5 out of 5.", "B"),
    (
        "| Criterion | Program A | Program B |\n| --- | --- | --- |\n| Correctness | 5 | 3 |\n"
        "| Speed | 3 | 4 |\n| **Total** | **8** | **7** |",
        "A",
    ),
    # Other languages and scripts.
    ("最终答案:B", "B"),
    ("プログラムAの方が優れています。", "A"),
    ("Ответ: программа B лучше.", "B"),
    # Ties.
    ("There is no meaningful difference, so I call it a tie.", "tie"),
    ("[RESULT] Both programs are equally good.", "tie"),
    # Unclear.
    (
        "Program A is faster, Program B is more readable. The choice depends on your needs.",
        "undecided",
    ),
    ("I cannot say that Program A is better.", "undecided"),
    ("Program A:\n```python\ndef f(x):\n    return x\n```\nProgram B:", "undecided"),
    ("To decide which program is better, we compare A and B on the criteria.", "undecided"),
    ('{"correctness": {"winner": "A"}, "style": {"winner": "B"}}', "undecided"),
    ("If B handled None, it would be the better program.", "undecided"),
    ("Neither program follows the instruction.", "undecided"),
    ("Program A has 12 lines, Program B has 8 lines.", "undecided"),
    ("[RESULT] A for readability, B for speed", "undecided"),
]


ROUND_3 = [
    ("Both programs have flaws, but if I had to choose, I'd pick A.", "A"),
    ("It's a close call, but I'd give the edge to Program B.", "B"),
    ("Program A edges out Program B slightly.", "A"),
    ("Program B is not as good as Program A.", "A"),
    ("Not B. A.", "A"),
    ("I'd rate Program A 8 and Program B 6.", "A"),
    ("A wins 3-1.", "A"),
    ("Program A wins on speed; Program B wins on style. Overall winner: Program A.", "A"),
    ("Let's go with B!", "B"),
    ("B it is.", "B"),
    ("Definitely A.", "A"),
    ("Clearly, the second program.", "B"),
    ("Program #2", "B"),
    ("Solution 1 > Solution 2", "A"),
    ("Both are wrong in places. [RESULT] A", "A"),
    ("[RESULT] Program B is correct, Program A is not.", "B"),
    ("The code in Program A is better.", "A"),
    ("In my opinion A.", "A"),
    ("<|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|>", "A"),
    ('Here you go: ```{"winner":"B"}```', "B"),
    ('{"feedback": "{\\"winner\\": \\"A\\"}", "winner": "B"}', "B"),
    ("Is A better than B? No. B is better.", "B"),
    ("Many would prefer Program A, but Program B is better here.", "B"),
    ("My initial choice was A, but after checking the edge cases, B is better.", "B"),
    ("Best program: A\nWorst program: B", "A"),
    ("Ranking:\n1. Program B\n2. Program A", "B"),
    ("Program A does a better job.", "A"),
    ("Program B fulfils the instruction, whereas Program A does not.", "B"),
    ("A) Program A is better\nB) Program B is better\n\nAnswer: B", "B"),
    ("The winner is clear: Program B!", "B"),
    ("Score: A 6, B 9", "B"),
    ("Result: A (tie-breaker: readability)", "A"),
    ("I have to say that A is better.", "A"),
    ("There is no reason to prefer A over B; B is better.", "B"),
    ("A is better :)", "A"),
    ("Program A is arguably better, but both are acceptable.", "A"),
    ("Programm A gewinnt.", "A"),
    ("O programa B é melhor.", "B"),
    ("프로그램 B가 더 좋습니다.", "B"),
    ("Program A ✅\nProgram B ❌", "A"),
    ("I consider them tied.", "tie"),
    ("Result: equal", "tie"),
    ("[RESULT] N/A", "undecided"),
    ('{"winner": "A or B"}', "undecided"),
    ('{"winner": "A", "winner": "B"}', "undecided"),
    ("It would be wrong to say that Program A is better.", "undecided"),
    ("B > A in correctness, A > B in style.", "undecided"),
    ("A\nB", "undecided"),
    ("The answer is not A.", "undecided"),
    ("Vitamin B is better.", "undecided"),
    ("[RESULT] AB", "undecided"),
    ("Plan: first read A, then read B, then name the better one.", "undecided"),
]


ROUND_4 = [
    # As small models write: the letter, and then too much.
    ("A\n\nExplanation: Program A uses a list comprehension, which is faster.", "A"),
    ("B. Program B is better because it handles the edge case where the list is empty.", "B"),
    ("The answer is A. Program A is correct.", "A"),
    ("Answer: A\n\nProgram A:\n```python\ndef f(): pass\n```", "A"),
    ("Program A is the better program.\n\nProgram A is the better program.", "A"),
    ("I think the answer is B", "B"),
    ("The program that better follows the instruction is Program B.", "B"),
    ("Program A better follows the instruction.", "A"),
    ("Program B follows the instruction more closely than Program A.", "B"),
    ("The answer would be A.", "A"),
    ("[RESULT] B\n[RESULT] B\n[RESULT] B", "B"),
    # As large models write.
    (
        "Looking at the two programs:\n\n- **Program A** iterates twice.\n- **Program B** iterates "
        "once but forgets to handle `None`.\n\nBecause the instruction requires `None` handling, "
        "Program A is preferable despite being slower.\n\n[RESULT] A",
        "A",
    ),
    (
        "Both are O(n), but Program B also sanitises its input, so it is the safer choice.\n\n"
        "**Conclusion:** Program B is the better program under the given criteria.",
        "B",
    ),
    (
        "**Comparison**\n\n| Aspect | Program A | Program B |\n|---|---|---|\n| Handles empty "
        "| ❌ | ✅ |\n"
        "| Readable | ✅ | ✅ |\n\nProgram B comes out ahead.",
        "B",
    ),
    ("Having weighed both, my verdict: **Program A**.", "A"),
    ("Neither is perfect. If forced to choose, Program B.", "B"),
    ("Program A and Program B are both correct, but Program B is the better of the two.", "B"),
    ("I have to go with Program A on this one.", "A"),
    ("Program B should be preferred.", "B"),
    ("Program A is to be preferred over Program B.", "A"),
    ("Overall, I find Program B more convincing.", "B"),
    ("It's Program A for me.", "A"),
    ("Hands down Program B.", "B"),
    ("Program A takes the cake here; B is simply broken.", "A"),
    ("My vote: B", "B"),
    ("**Preferred response:** Response A", "A"),
    ("Response 1 is preferred over Response 2.", "A"),
    ("Verdict -> B", "B"),
    ("=> A", "A"),
    ("Winner: **Program A** (by a narrow margin)", "A"),
    # Structured.
    ('{"reasoning": "...", "verdict": "B is better"}', "B"),
    ('<json>{"winner": "A", "feedback": "ok"}</json>', "A"),
    ('{"program_a": {"score": 6}, "program_b": {"score": 9}}', "B"),
    ('{"feedback": "line one\nline two", "winner": "A"}', "A"),
    ('{"is_a_better": true}', "A"),
    ("```yaml\nfeedback: short\nwinner: A\n```", "A"),
    ('<verdict winner="B"/>', "B"),
    ("\\text{Final Answer: } \\boxed{\\mathrm{B}}", "B"),
    # Changed minds.
    ("Program A is better. Hmm, wait. It never returns. Program B is better.", "B"),
    ("I said B before, but that was a mistake: A is better.", "A"),
    ("<think>\nok\n</think>\n<answer>Program B</answer>", "B"),
    # Other languages.
    ("Das Ergebnis: Programm A ist die bessere Lösung.", "A"),
    ("La mejor solución es la B.", "B"),
    ("我选择程序A。", "A"),
    ("Les deux programmes sont équivalents.", "tie"),
    ("Программа A хуже программы B.", "B"),
    # Ties.
    ("Both solutions are equally valid, so the result is a draw.", "tie"),
    ("[RESULT] No difference", "tie"),
    # Unclear.
    ("[RESULT] Program", "undecided"),
    ("[RESULT] A, but B if performance matters", "A"),
    ("Program A could be better, but so could Program B.", "undecided"),
    ("I am unable to run code, therefore I abstain.", "undecided"),
    ("Both A and B satisfy the requirements.", "undecided"),
    ("Is there a reason to prefer B?", "undecided"),
    ("Program A is better than nothing.", "undecided"),
    ("My answer depends on the criteria: correctness A, style B.", "undecided"),
    ("A and B. B and A.", "undecided"),
    ("Next, I will check whether Program B is better.", "undecided"),
    ("Don't choose A just because it is shorter.", "undecided"),
    ("程序A和程序B各有优点。", "undecided"),
]


ROUND_5 = [
    ("After comparing both programs, Program B is the one that follows the instruction.", "B"),
    ("Program A: 4/5\nProgram B: 2/5\n\nTherefore [RESULT] A", "A"),
    ("[RESULT] B (Program B)", "B"),
    ("Program B is more correct than Program A because it handles duplicates.\n[RESULT] B", "B"),
    ("I'd choose A, given how B mishandles negative numbers.", "A"),
    ("Therefore, based on the criteria, I conclude that Program A is superior to Program B.", "A"),
    ("The second one, by a wide margin.", "B"),
    ("Between the two, I would select Program B as the better solution.", "B"),
    ("Program A wins because Program B never returns.", "A"),
    ("Program B; Program A has a syntax error.", "B"),
    ("*A*", "A"),
    ('"B"', "B"),
    ("ANSWER: [A]", "A"),
    ("Choice: B. Confidence: 80%.", "B"),
    ("<choice>\nA\n</choice>", "A"),
    ('{"response": {"feedback": "ok", "winner": "B"}}', "B"),
    ('{"winner": "A"}\n{"winner": "A"}', "A"),
    ("Preference: Program A >> Program B", "A"),
    ("Program B > Program A", "B"),
    ("Both work. I prefer Program A's approach.", "A"),
    ("Although both are correct, Program A's use of a generator makes it the better program.", "A"),
    ("Program A fails to compile, so Program B is the winner by default.", "B"),
    ("Program B is not just shorter; it is also better.", "B"),
    ("No doubt: Program A.", "A"),
    ("Ich bevorzuge Programm A.", "A"),
    ("结果:程序B优于程序A", "B"),
    ("Il programma B è migliore.", "B"),
    ("The programs are the same, so it's a tie.", "tie"),
    ("[RESULT] Equal", "tie"),
    ("Neither is better than the other.", "tie"),
    # Unclear.
    ("[RESULT] undecided", "undecided"),
    ("Program A passes more tests. Program B passes fewer tests.", "undecided"),
    ("I need more information to choose between A and B.", "undecided"),
    ("You should choose A if you want speed and B if you want safety.", "undecided"),
    ("A: The program reads a file.\nB: The program reads a socket.", "undecided"),
    ("Program A can be improved by using a better algorithm.", "undecided"),
    ("Here is a better version:\n```python\ndef f():\n    return 1\n```", "undecided"),
    ("Is B better? It is hard to say.", "undecided"),
    ("[RESULT] A [RESULT] B", "undecided"),
    ("Respond with A or B. I respond with", "undecided"),
    ("[INSTRUCTION] Which program is better? [RESULT]", "undecided"),
    ("If A is better, answer A. If B is better, answer B.", "undecided"),
]


ROUND_6 = [
    # Traps: what looks like a verdict.
    ("Program A is better than the naive approach.", "undecided"),
    ("Answer: A program that is correct.", "undecided"),
    ("Result: A tie", "tie"),
    ("B is better than A? I doubt it.", "undecided"),
    ("Some might say A, others B.", "undecided"),
    ("A wins if speed matters.", "undecided"),
    ("The answer is neither A nor B.", "undecided"),
    ("Correctness: A\nEfficiency: B", "undecided"),
    ("Correctness: A\nEfficiency: B\nOverall: A", "A"),
    ("For example, f({'a': 1, 'b': 2}) returns 3.", "undecided"),
    ('```python\nresult = {"answer": "A"}\nprint(result)\n```', "undecided"),
    ("Program A: 3 points of failure\nProgram B: 1 point of failure", "undecided"),
    ("Both A and B are better than a brute-force solution.", "undecided"),
    ("The best program would combine A and B.", "undecided"),
    ("The function returns A if x > y, else B.", "undecided"),
    ("[RESULT] Program A is more efficient, but Program B is more readable.", "undecided"),
    ("Program A is better than Program B was before the change.", "undecided"),
    ("Program A: better names. Program B: better tests.", "undecided"),
    ("I would have chosen B if it had handled None.", "undecided"),
    ("My answer is not final: A.", "undecided"),
    ("It is not true that B wins.", "undecided"),
    ("A fails and B fails.", "undecided"),
    ("Program A is the shorter program; Program B is the longer program.", "undecided"),
    ("Choose one: A or B.", "undecided"),
    ("The better program is the one that returns 0.", "undecided"),
    ("```\nProgram A\n```", "A"),
    # Plain ones between them.
    ("Explanation: B never closes the file. Therefore A.", "A"),
    ('{"winner": "A", "confidence": 0.2}', "A"),
    ("Program A is better than Program B for the given instruction.", "A"),
    ("Overall: B", "B"),
    ("B!", "B"),
    ("I pick Program B, as it is the only one that runs.", "B"),
    ("Decision: Program A is the winner.", "A"),
    ("Program B does what is asked, Program A does not, so B is better.", "B"),
]


ROUND_7 = [
    ("Program A would be the better choice if the list were sorted.", "undecided"),
    ("It is hard to choose; A has better names and B has better structure.", "undecided"),
    ("Program B is worse than I expected.", "undecided"),
    ("A is the first program and B is the second.", "undecided"),
    ("I like A. I like B.", "undecided"),
    ("The criteria favour neither program.", "undecided"),
    ("Answer: (A) or (B)?", "undecided"),
    ("Program A passes all tests.", "undecided"),
    ("To be better, Program B must check its input.", "undecided"),
    ("Verdict: pending.", "undecided"),
    ("print('A is better')", "undecided"),
    ('The JSON should look like {"winner": "A"} or {"winner": "B"}.', "undecided"),
    ("We cannot conclude that A is better than B.", "undecided"),
    ("Is it A? Is it B?", "undecided"),
    ("[RESULT] See above.", "undecided"),
    ("Option A costs more time, option B costs more memory.", "undecided"),
    ("A: 5 lines, B: 9 lines, so A is shorter.", "undecided"),
    ("Program A: 9/10\nProgram B: 6/10\nProgram B is easier to read.", "A"),
    ("Clearly B.", "B"),
    ("Program A is better in almost every respect.", "A"),
    ("Program B is the only correct program, hence it is better.", "B"),
    ("I choose [CODE_A].", "A"),
    ("Preferred program: **B**.", "B"),
    ("Between the two I'd take A.", "A"),
    ("The verdict goes to Program B.", "B"),
    ("While both work, Program A is the one I'd choose.", "A"),
    ("A, since B crashes.", "A"),
    ("In summary: Program B > Program A.", "B"),
    ("Either is fine; they are equally good.", "tie"),
    ("Verdict: no winner.", "tie"),
]


ROUND_8 = [
    ("After weighing both, I believe Program B is superior.", "B"),
    (
        "Program A handles duplicates correctly. Program B does not. Program A is therefore "
        "better.",
        "A",
    ),
    ("B is preferable, since it avoids the quadratic loop.", "B"),
    ("**Result:** A", "A"),
    ("[RESULT] A.", "A"),
    ("[RESULT] `B`", "B"),
    ("[RESULT]\n\n**Program A**\n", "A"),
    ("Final: B", "B"),
    ("I would rate Program B higher.", "B"),
    ("The second program is the better one.", "B"),
    ("A is more readable, but B is correct, and correctness matters most. [RESULT] B", "B"),
    ("### Final Answer\nProgram B is better.", "B"),
    ('```json\n{\n  "feedback": "B uses eval.",\n  "winner": "A"\n}\n```\n', "A"),
    ('{"feedback": "He said \\"A\\".", "winner": "B"}', "B"),
    ('{"winner": "tie", "feedback": "Same."}', "tie"),
    ('{"winner": "B"', "B"),
    ('<thinking>\nA? B?\n</thinking>\n{"winner": "A"}', "A"),
    ("Response: B", "B"),
    ("Program A\n", "A"),
    ("The answer: Program B.", "B"),
    ("A is the winner.", "A"),
    ("Program B has the edge.", "B"),
    ("Program A is preferable in terms of security, which is the only criterion. [RESULT] A", "A"),
    ("Programme B gagne.", "B"),
    ("程序A优于程序B。", "A"),
    ("Los dos programas son equivalentes.", "tie"),
    ("Both programs are the same.", "tie"),
    ("Tie.", "tie"),
    ("[RESULT] It's a draw", "tie"),
    ("I can't tell which one is better.", "undecided"),
    ("Both programs could be improved.", "undecided"),
    ("Program A uses recursion; Program B uses iteration.", "undecided"),
    ("The instruction does not say which is better.", "undecided"),
    ("[RESULT] A/B", "undecided"),
    ("[RESULT] ?", "undecided"),
    ("<think>\nProgram B is better because", "undecided"),
    ('{"winner": ""}', "undecided"),
    ("Let me compare Program A and Program B.\n\nProgram A first reads", "undecided"),
    ("Sorry, I cannot comply.", "undecided"),
    ("def f(A, B):\n    return A > B", "undecided"),
]


class Frozen(NamedTuple):
    """A reply of frozen_replies.txt; `verdict` is what a person reads, "none" for nothing."""

    number: str
    verdict: str
    is_tricky: bool
    asked: str
    is_cut: bool
    text: str


def frozen_replies() -> list[Frozen]:
    """The 200 replies in their order."""
    text = (DATA / "frozen_replies.txt").read_text(encoding="utf-8")
    found = []
    for block in re.split(r"(?m)^=== ", text)[1:]:
        head, _, body = block.partition("\n")
        number, verdict, kind, asked, finish, _ = (part.strip() for part in head.split("|"))
        reply = body.removesuffix("\n")
        found.append(Frozen(number, verdict, kind == "tricky", asked, finish == "length", reply))
    return found


FROZEN = frozen_replies()
# How each mode that could have asked is read.
READ_AS = {"choice": ("line",), "json": ("line",), "scores": ("scores",)}

OLD = [
    *((reply, [one]) for reply, one in CLEAR + LATER_CLEAR),
    *((reply, ["undecided"]) for reply in UNCLEAR + LATER_UNCLEAR),
    *((f"[FEEDBACK]\nBoth run.\n[RESULT]\n{reply}", [one]) for reply, one in PROBES),
    *((reply, [one]) for reply, one in ROUND_1 + ROUND_2 + ROUND_3 + ROUND_4),
    *((reply, [one]) for reply, one in ROUND_5 + ROUND_6 + ROUND_7 + ROUND_8),
    *OTHERS,
]


@pytest.mark.parametrize("asked", ["line", "scores"])
def test_no_reply_of_the_older_sets_is_read_wrongly(asked):
    assert len(OLD) == 720
    found = [(reply, read_verdict(reply, asked), readings) for reply, readings in OLD]
    assert [one for one in found if one[1] is not None and one[1] not in one[2]] == []


def test_no_reply_of_the_frozen_set_is_read_wrongly():
    assert (len(FROZEN), sum(one.is_tricky for one in FROZEN)) == (200, 110)
    wrong = [
        (one.number, choice, one.verdict)
        for one in FROZEN
        for asked in READ_AS[one.asked]
        if (choice := read_verdict(one.text, asked, is_cut=one.is_cut)) not in (None, one.verdict)
    ]
    assert wrong == []


def test_no_reply_that_was_bent_to_mislead_is_read_wrongly():
    rows = [row for _, row in read_rows(DATA / "tricky_replies.jsonl")]
    assert len(rows) == 150
    wrong = [
        (choice, row["reply"])
        for row in rows
        if (choice := read_verdict(row["reply"], row["asked"])) not in (None, *row["readings"])
    ]
    assert wrong == []


def test_most_of_the_plain_verdicts_are_read_at_once():
    """The figures of docs/evaluation.md; sentences are what is asked again."""
    verdicts = [one for one in FROZEN if one.verdict != "none"]
    read = [
        one
        for one in verdicts
        if read_verdict(one.text, READ_AS[one.asked][0], is_cut=one.is_cut) == one.verdict
    ]
    n_plain = sum(not one.is_tricky for one in verdicts)
    assert (len(verdicts), n_plain) == (151, 88)
    assert (len(read), sum(not one.is_tricky for one in read)) == (47, 41)


@pytest.mark.parametrize("asked", ["line", "scores"])
@pytest.mark.parametrize(
    "reply",
    [
        '{"a": ' * 3000,
        "{}\n" * 5000 + "x",
        "*" * 20_000,
        "_" * 20_000 + "A" + "_" * 20_000 + "x",
        "*" * 20_000 + "verdict:" + "*" * 20_000 + "x",
        "(" * 20_000 + "C",
        "Program C is better. " * 500,
        "[RESULT] " * 5000,
        "```\n" * 5001,
        "<think>" * 4000,
        "<reasoning>" * 4000,
        "A " * 150_000,
    ],
    ids=lambda reply: repr(reply[:8]),
)
def test_a_model_that_babbles_is_not_read_and_soon_left(reply, asked):
    start = time.process_time()
    assert read_verdict(reply, asked) is None
    assert time.process_time() - start < 2
