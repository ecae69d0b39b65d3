"""A result as a small table, each number with what it rests on; pure."""

from __future__ import annotations

from jinja2 import Template

from codefavor.records import Row

HEADER = (
    "group", "accuracy", "95 % interval", "n", "errors", "undecided", "consistent", "A-bias",
)  # fmt: skip


def table_of(result: Row) -> list[list[str]]:
    """The lines of the table, one a group, under `HEADER`."""
    metrics = result["metrics"]
    lines = []
    for name, one in [("all", metrics["overall"]), *metrics["by_level"].items()]:
        interval = f"{percent(one['interval']['low'])} to {percent(one['interval']['high'])}"
        lines.append(
            [
                name,
                percent(one["accuracy"]),
                interval,
                str(one["n"]),
                str(one["n_error"] + one["n_missing"]),
                str(one["n_undecided"]),
                percent(one["consistency"]),
                percent(one["position_bias"]),
            ]
        )
    return lines


def remarks_on(result: Row) -> list[str]:
    """What else there is to say of a result, a sentence each."""
    found = []
    overall = result["metrics"]["overall"]
    if overall.get("n_second_questions"):
        found.append(
            f"second questions: {overall['n_second_questions']} of {overall['n_verdicts']} replies "
            "stated no verdict in the form asked for and were asked once more"
        )
    if result.get("benchmark") == "judgebench":
        groups = [("all", overall), *result["metrics"]["by_level"].items()]
        rates = ", ".join(f"{name} {percent(one['majority_accuracy'])}" for name, one in groups)
        found.append(f"as published (right in more orders than wrong): {rates}")
    if "averages" in result:
        means = result["averages"]
        found.append(
            f"mean of the three verifiable aspects {percent(means['average'])}, "
            f"of all four {percent(means['average_of_four'])}"
        )
    if "without_defects" in result:
        rest = result["without_defects"]["overall"]
        found.append(
            f"without pairs of known defects: {percent(rest['accuracy'])} (n = {rest['n']})"
        )
    if "best_trivial" in result:
        best, gain = result["best_trivial"], result["best_trivial"]["gain"]
        found.append(
            f"gain over the best trivial baseline ({best['name']}): {percent(gain['mean'])} "
            f"[{percent(gain['low'])} to {percent(gain['high'])}], "
            f"McNemar p = {best['p_mcnemar']:.2g}"
        )
    if "robustness" in result:
        one = result["robustness"]
        found.append(
            f"attack {one['attack']} on the {one['side']} side: {percent(one['accuracy_before'])} "
            f"before, {percent(one['accuracy_after'])} after (n = {one['n']}, "
            f"{percent(one['flip_rate'])} flipped)"
        )
    for name, groups in result.get("subgroups", {}).items():
        shares = ", ".join(
            f"{value} {percent(one['accuracy'])} (n = {one['n']})" for value, one in groups.items()
        )
        found.append(f"{name.replace('_', ' ')}: {shares}")
    for key in ("length_controlled", "style_controlled"):
        if key in result:
            found.append(f"{key.replace('_', '-')} accuracy {percent(result[key]['accuracy'])}")
    return found


def title_of(result: Row) -> str:
    """Which judge on which benchmark under which protocol."""
    settings = result["settings"]
    shown = settings["protocol"]
    if shown == "both-orders" and settings.get("orders") == "one":
        shown = "one order"
    return f"{result['benchmark']}: {result['judge']['name']} ({shown})"


def result_text(result: Row) -> str:
    """The result for a terminal."""
    lines = [title_of(result), f"licence of the pairs: {result['license']}"]
    for cells in (list(HEADER), *table_of(result)):
        name, accuracy, interval, n, errors, undecided, consistent, bias = cells
        lines.append(
            f"{name:<28}{accuracy:>9}  {interval:<15}{n:>6}{errors:>8}"
            f"{undecided:>11}{consistent:>12}{bias:>8}"
        )
    return "\n".join([*lines, *remarks_on(result)])


_HTML = Template(
    "<table><caption>{{ title }}</caption><thead><tr>{% for name in head %}<th>{{ name }}</th>"
    "{% endfor %}</tr></thead><tbody>{% for line in lines %}<tr>{% for cell in line %}"
    "<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</tbody></table>{% if remarks %}<ul>"
    "{% for one in remarks %}<li>{{ one }}</li>{% endfor %}</ul>{% endif %}",
    autoescape=True,
)


def result_html(result: Row) -> str:
    """The result for a notebook: every text escaped, no style of its own."""
    lines, remarks = table_of(result), remarks_on(result)
    return str(_HTML.render(title=title_of(result), head=HEADER, lines=lines, remarks=remarks))


def percent(value: float | None) -> str:
    """A share as percent with one decimal; "-" for None."""
    return "-" if value is None else f"{100 * value:.1f}"
