"""What all HTML pages share: templates that escape everything, and the words for numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from codefavor.reports.charts import NOT_MEASURED, percent, points


@cache
def environment() -> Environment:
    """The templates; every value is escaped unless it is Markup."""
    loader = PackageLoader("codefavor.reports", "templates")
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": percent,
        "points": points,
        "dash": text_or_dash,
        "p_value": p_value,
        "seconds": seconds,
    }
    # One of our own css or js files; the loader finds it in a wheel too.
    made.globals["asset"] = lambda name: Markup(loader.get_source(made, name)[0])
    return made


def render_page(template: str, **values: Any) -> str:
    """A page from its template."""
    return environment().get_template(template).render(**values)


def text_or_dash(value: object) -> Markup:
    """A value as text; None as a dash that is read out as "not measured"."""
    if value is None:
        return Markup('<span class="none" title="{}">–</span>').format(NOT_MEASURED)
    return escape(value)


def p_value(value: float | None) -> str:
    """A p-value with its sign of relation: `= 0.031`, `< 0.001`."""
    if value is None:
        return NOT_MEASURED
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def seconds(value: float | None) -> str:
    """A duration as `12.3 s` or `4 min 05 s`."""
    if value is None:
        return NOT_MEASURED
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"
