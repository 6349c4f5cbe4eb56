"""Render the content of a page as one self-contained HTML file."""

from collections.abc import Collection
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hemexp import __version__
from hemexp.report.embed import without_ids


def to_html(content: dict[str, Any], patient_ids: Collection[str], patients: bool) -> str:
    """Return the template filled with `content`, which must have every name that the template uses.

    Args:
        content: of the page.
        patient_ids: ids that the page must not show.
        patients: leave texts as they are; otherwise no text on the page names a patient.
    """
    content = content if patients else without_ids(content, patient_ids)
    environment = Environment(
        loader=PackageLoader("hemexp.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html").render(content, version=__version__, patients=patients)
