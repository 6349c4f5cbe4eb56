"""Write docs/columns.md, the data dictionary, from hemexp/cohort/columns.yaml.

python docs/make_columns_page.py
"""

import re
from pathlib import Path

from hemexp.cohort.columns import Column, known_columns
from hemexp.cohort.headers import squeeze
from hemexp.cohort.template import describe_use, describe_values

PAGE = Path(__file__).resolve().parent / "columns.md"
HEADER = ("name", "meaning", "Chinese", "unit", "legal values", "can be an input", "other headers, for example")
GROUPS = {
    "Patient, scans and times": ("key", "source"),
    "Known at admission": ("clinical",),
    "Further inputs, which the published cohort does not have": ("extra",),
    "Treatments": ("treatment",),
    "Outcome": ("outcome",),
    "Imaging": ("imaging",),
}
_FAMILIES = re.compile(r"(?P<tissue>HM|ED|Hemo)_(?P<kind>.*_Ratio|original_shape|NCCT_original_firstorder)")
NUM_HEADERS = 5
_MIXED_LIMITS = "number within the limits of its definition in pyradiomics"


def list_rows(roles: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return a row for each column with one of the roles; territories and radiomics have one row a family."""
    families: dict[str, list[Column]] = {}
    for column in known_columns().values():
        if column.role in roles:
            found = _FAMILIES.match(column.name)
            families.setdefault(found["tissue"] + found["kind"][-6:] if found else column.name, []).append(column)
    return [make_row(columns) for columns in families.values()]


def make_row(columns: list[Column]) -> tuple[str, ...]:
    """Return the row of a column, or of a family of columns that differ in a part of the name only."""
    first, last = columns[0], columns[-1]
    name, meaning, chinese = first.name, first.meaning, first.chinese
    if first is not last:
        name = f"{first.name}` … `{last.name}"
        meaning, chinese = (f"{text}, … ({len(columns)} columns)" for text in (meaning, chinese))
    names = {squeeze(text) for text in (first.name, first.meaning, first.chinese)}
    headers = [text for text in first.synonyms if squeeze(text) not in names][:NUM_HEADERS]
    use = describe_use(first)
    values = describe_values(first) if len({column.range for column in columns}) == 1 else _MIXED_LIMITS
    return f"`{name}`", meaning, chinese, first.unit, values, use, ", ".join(headers)


def make_table(rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [" | ".join(HEADER), " | ".join(["---"] * len(HEADER)), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def make_page() -> str:
    """Return the text of docs/columns.md."""
    sections = "\n\n".join(f"## {title}\n\n{make_table(list_rows(roles))}" for title, roles in GROUPS.items())
    return f"""# The columns that hemexp knows

This page is made by `python docs/make_columns_page.py` from `hemexp/cohort/columns.yaml`; a test compares the two.
[your-own-data.md](your-own-data.md) says how the headers of your files find these columns. The name, the English
meaning, the Chinese name and many other headers are recognized. Upper and lower case, spaces, punctuation and a unit in
the header do not matter. `python prepare.py template=DIR` writes blank workbooks with these columns.

The units are those of `scans.csv`. Your files may have others, such as volumes in mL and hours as minutes or days.
A column that is not listed here can be an input too: write `means: input` in `mapping.yaml`. Only `features=paper`,
`features=all` and a list in `features.columns` use treatments; the report then says what this means.

{sections}
"""


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
