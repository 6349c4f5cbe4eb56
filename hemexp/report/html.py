"""Render the content of a page as one self-contained HTML file."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def to_html(content: dict[str, Any]) -> str:
    """Return the template filled with `content`, which must have every name that the template uses."""
    environment = Environment(
        loader=PackageLoader("hemexp.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html").render(content)
