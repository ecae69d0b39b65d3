"""What all HTML pages share: templates that escape everything, and the words for numbers."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from codefavor.reports import charts
from codefavor.reports.charts import percent


def render_page(template: str, **values: Any) -> str:
    """A page from its template; every value is escaped unless it is Markup."""
    environment = Environment(
        loader=PackageLoader("codefavor.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "points": charts.points,
        "dash": charts.text_or_dash,
        "p_value": p_value,
        "seconds": seconds,
    }
    environment.globals["asset"] = lambda name: _asset(environment, name)
    environment.globals["stacked_bar"] = charts.stacked_bar
    return environment.get_template(template).render(**values)


def _asset(environment: Environment, name: str) -> Markup:
    """The text of one of our own css or js files; the loader finds it in a wheel too."""
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def p_value(value: float | None) -> str:
    """A p-value with its sign of relation: `= 0.031`, `< 0.001`."""
    if value is None:
        return charts.NOT_MEASURED
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def seconds(value: float | None) -> str:
    """A duration as `12.3 s` or `4 min 05 s`."""
    if value is None:
        return charts.NOT_MEASURED
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"
