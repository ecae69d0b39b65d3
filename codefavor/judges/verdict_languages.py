"""The few words of a verdict in nine languages, put into English word by word.

Only the words that decide matter: names of the candidates, better, worse, equal, not, if. A
language's words are replaced only in a reply that holds one of its telling words, so that
English "no" or "son" stays what it is.
"""

from __future__ import annotations

import re
import unicodedata

# English -> the words that mean it, by language; the first entry tells the language.
_WORDS: dict[str, list[tuple[str, str]]] = {
    "de": [
        (
            r"besser\w*|schlechter\w*|gleich gut|gleichwertig|unentschieden|gewinnt|"
            r"beste[rns]?|bevorzuge|wähle",
            "",
        ),
        (r"gleich gut|gleichwertig|unentschieden", "a tie"),
        (r"(?:programm|lösung|antwort|variante)s?", "program"),
        (r"besser\w*|beste[rns]?", "better"),
        (r"schlechter\w*", "worse"),
        (r"gewinnt", "wins"),
        (r"gewinner|sieger", "winner"),
        (r"ergebnis|urteil|fazit|entscheidung", "verdict"),
        (r"insgesamt|daher|deshalb|somit|also", "overall"),
        (r"aber|jedoch", "but"),
        (r"nicht|kein\w*", "not"),
        (r"wenn|falls", "if"),
        (r"vielleicht|könnte|möglicherweise", "might be"),
        (r"wähle|bevorzuge|nehme", "choose"),
        (r"ist|sind", "is"),
        (r"als", "than"),
        (r"und", "and"),
        (r"oder", "or"),
        (r"weil|da", "because"),
    ],
    "fr": [
        (r"meilleure?s?|pire|mieux|équivalents?|équivalentes|match nul|gagne|préfère", ""),
        (r"équivalents?|équivalentes|match nul|à égalité|égaux|identiques", "a tie"),
        (r"programme|réponse", "program"),
        (r"meilleure?s?|mieux", "better"),
        (r"pire", "worse"),
        (r"gagne|l'emporte", "wins"),
        (r"gagnant|vainqueur", "winner"),
        (r"résultat|verdict", "verdict"),
        (r"globalement|donc|ainsi", "overall"),
        (r"mais|cependant", "but"),
        (r"n'est pas", "is not"),
        (r"pas|aucun\w*|ni", "not"),
        (r"si", "if"),
        (r"peut-être|pourrait", "might be"),
        (r"choisis|préfère", "choose"),
        (r"est|sont", "is"),
        (r"que", "than"),
        (r"et", "and"),
        (r"ou", "or"),
        (r"le|la", "the"),
        (r"car|parce", "because"),
    ],
    "es": [
        (r"mejor|peor|empate|equivalentes|gana|prefiero|elijo", ""),
        (r"empate|equivalentes|iguales|igual de (?:buenos|buenas)", "a tie"),
        (r"programa|código|solución|respuesta", "program"),
        (r"mejor", "better"),
        (r"peor", "worse"),
        (r"gana", "wins"),
        (r"ganador", "winner"),
        (r"resultado|veredicto", "verdict"),
        (r"en general|por lo tanto", "overall"),
        (r"pero|sin embargo", "but"),
        (r"no|ningun\w*", "not"),
        (r"si", "if"),
        (r"quizás?|podría|tal vez", "might be"),
        (r"elijo|prefiero|elegiría", "choose"),
        (r"es|son", "is"),
        (r"que", "than"),
        (r"y", "and"),
        (r"o", "or"),
        (r"el|la|un", "the"),
        (r"porque|ya", "because"),
    ],
    "pt": [
        (r"melhor|pior|empate|equivalentes|vence|prefiro|escolho", ""),
        (r"empate|equivalentes|iguais", "a tie"),
        (r"programa|código|solução|resposta", "program"),
        (r"melhor", "better"),
        (r"pior", "worse"),
        (r"vence|ganha", "wins"),
        (r"vencedor", "winner"),
        (r"resultado|veredito", "verdict"),
        (r"no geral|portanto", "overall"),
        (r"mas|porém", "but"),
        (r"não|nenhum\w*", "not"),
        (r"se", "if"),
        (r"talvez|poderia", "might be"),
        (r"escolho|prefiro", "choose"),
        (r"é|são", "is"),
        (r"(?:do )?que", "than"),
        (r"e", "and"),
        (r"ou", "or"),
        (r"o|um", "the"),
        (r"porque|pois", "because"),
    ],
    "it": [
        (r"migliore|peggiore|pareggio|equivalenti|vince|preferisco|scelgo", ""),
        (r"pareggio|equivalenti|uguali", "a tie"),
        (r"programma|codice|soluzione|risposta", "program"),
        (r"migliore|meglio", "better"),
        (r"peggiore", "worse"),
        (r"vince", "wins"),
        (r"vincitore", "winner"),
        (r"risultato|verdetto", "verdict"),
        (r"nel complesso|quindi|pertanto", "overall"),
        (r"ma|però", "but"),
        (r"non|nessun\w*", "not"),
        (r"se", "if"),
        (r"forse|potrebbe", "might be"),
        (r"scelgo|preferisco", "choose"),
        (r"è|sono", "is"),
        (r"di|del", "than"),
        (r"e", "and"),
        (r"o", "or"),
        (r"il|la|un", "the"),
        (r"perché", "because"),
    ],
    "ru": [
        (
            r"лучше|лучш\w+|хуже|ничья|одинаков\w+|равноценн\w+|выбираю|победитель|ответ|результат",
            "",
        ),
        (r"ничья|одинаков\w+|равноценн\w+|эквивалентн\w+", "a tie"),
        (r"программ\w+|код|решени\w+|вариант", "program"),
        (r"лучше|лучш\w+", "better"),
        (r"хуже", "worse"),
        (r"выигрывает|побеждает", "wins"),
        (r"победитель", "winner"),
        (r"результат|ответ|вердикт|вывод", "verdict"),
        (r"в целом|поэтому|итак", "overall"),
        (r"но|однако", "but"),
        (r"не|ни", "not"),
        (r"если", "if"),
        (r"возможно", "might be"),
        (r"выбираю|предпочитаю", "choose"),
        (r"чем", "than"),
        (r"и", "and"),
        (r"или", "or"),
        (r"потому что|так как", "because"),
    ],
    "zh": [
        (
            r"更好|更优|更佳|较好|较优|优于|好于|胜出|不如|平局|一样好|同样好|更差|选择|答案|结论|结果|相同",
            "",
        ),
        (r"平局|一样好|同样好|不相上下|没有区别", "a tie"),
        (r"程序|代码|方案|选项|答案(?=\s*[AB12])|实现", "program"),
        (r"优于|好于|胜过", "is better than"),
        (r"不如|劣于", "is worse than"),
        (r"(?:比|与|和)(?=[^。,;]*(?:更|较|相比))", "compared to"),
        (r"相比", ""),
        (r"胜出|获胜", "wins"),
        (r"(?:明显|显然|整体|总体)", "overall"),
        (r"(?:是)?(?:更好|更优|更佳|较好|较优|最好)(?:的)?", "is better"),
        (r"更差|较差", "is worse"),
        (r"最终|结果|结论|答案|判断|获胜者", "verdict"),
        (r"选择|选", "choose"),
        (r"因此|所以|综上", "therefore"),
        (r"但是|但|然而", "but"),
        (r"如果|取决于", "if"),
        (r"可能|也许", "might be"),
        (r"不|没有|并非|无法", "not"),
        (r"因为", "because"),
        (r"和|与", "and"),
        (r"或者?|还是", "or"),
        (r"是|为", "is"),
    ],
    "ja": [
        (r"優れ|良い|引き分け|同等|劣|選び|勝", ""),
        (r"引き分け|同等|同じくらい良い", "a tie"),
        (r"プログラム|コード|解答|回答", "program"),
        (r"よりも?(?=.*(?:優れ|良い))", "is-compared"),
        (r"(?:の方|のほう)?[がはの]*(?:方が)?(?:優れてい(?:ます|る)|良い(?:です)?)", "is better"),
        (r"(?:が|は)?劣(?:ってい(?:ます|る)|る|ります)", "is worse"),
        (r"(?:の)?勝(?:ち|利)", "wins"),
        (r"を?選び(?:ます)?", "is my choice"),
        (r"ません|ない", "not"),
        (r"もし|場合", "if"),
        (r"かもしれ", "might be"),
        (r"結果|結論|答え", "verdict"),
        (r"と", "and"),
    ],
    "ko": [
        (r"더 (?:좋|낫|나은|우수)\S*|무승부|동등|선택합니다|승리", ""),
        (r"무승부|동등\S*", "a tie"),
        (r"프로그램|코드|답변", "program"),
        (r"보다", "is-compared"),
        (r"(?:가|이|는|은)? ?더 (?:좋|낫|나은|우수)\S*", "is better"),
        (r"(?:를|을)? ?선택합니다", "is my choice"),
        (r"않\S*|없\S*", "not"),
        (r"만약|경우", "if"),
        (r"결과|결론|답", "verdict"),
        (r"와|과", "and"),
    ],
}
_NO_SPACES = ("zh", "ja", "ko")
_EAST_ASIAN = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
_LATIN_BESIDE = re.compile(
    rf"(?<=[{_EAST_ASIAN}])(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?=[{_EAST_ASIAN}])"
)
# Letters that look like A and B in Cyrillic.
_LOOKALIKES = re.compile(r"(?<!\w)([\u0410\u0412])(?!\w)")


def _compile(language: str, words: str) -> re.Pattern[str]:
    edged = words if language in _NO_SPACES else rf"(?<!\w)(?:{words})(?!\w)"
    return re.compile(edged, re.IGNORECASE)


_GLOSSARIES = {
    language: (
        _compile(language, entries[0][0]),
        [(_compile(language, words), english) for words, english in entries[1:]],
    )
    for language, entries in _WORDS.items()
}


def to_english(text: str) -> str:
    """The text with the deciding words of a known language in English; English as it was."""
    text = unicodedata.normalize("NFKC", text).replace("\ufe0f", "")
    text = text.replace("。", ". ").replace("、", ", ")
    text = _LOOKALIKES.sub(lambda match: "A" if match.group(1) == "\u0410" else "B", text)
    text = _LATIN_BESIDE.sub(" ", text)
    for language, (telling, entries) in _GLOSSARIES.items():
        if not telling.search(text):
            continue
        for pattern, english in entries:
            replacement = f" {english} " if language in _NO_SPACES else english
            text = pattern.sub(replacement, text)
        # "B than A is better" in Japanese and Korean: what is compared with stands first.
        text = re.sub(r"([AB]) +is-compared +", r"compared to \1, ", text)
        text = re.sub(r"[^\S\n]+", " ", text)
    return text
