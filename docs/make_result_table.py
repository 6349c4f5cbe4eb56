"""Write docs/result.md, the table of all fields of result.json and patient.json, from the dataclasses in hemexp/files.

python docs/make_result_table.py
"""

import types
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from hemexp.files.one_patient import PatientResult
from hemexp.files.result import CAVEATS, CONCLUSIONS, LEAKS, SCHEMA_VERSION, PredictionResult, RunResult

PAGE = Path(__file__).resolve().parent / "result.md"
_NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false", Any: "any value"}
_PLURALS = {int: "whole numbers", float: "numbers", str: "texts", Any: "any values"}


def describe_type(hint: Any) -> str:
    """Return a type in plain words."""
    if hint in _NAMES:
        return _NAMES[hint]
    if is_dataclass(hint):
        return "object"
    arguments = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join("null" if option is type(None) else describe_type(option) for option in arguments)
    if get_origin(hint) is list:
        return f"list of {_PLURALS.get(arguments[0], 'objects')}"
    if get_origin(arguments[1]) is list:
        return f"lists of {_PLURALS[get_args(arguments[1])[0]]}, by name"
    return f"{_PLURALS.get(arguments[1], 'objects')}, by name"


def list_fields(kind: type[Any], prefix: str = "") -> list[tuple[str, str, str]]:
    """Return name, type and help of every field; the fields of an object follow it with dotted names."""
    hints = get_type_hints(kind)
    own = [field for field in fields(kind) if field.name in kind.__annotations__]
    inherited = [field for field in fields(kind) if field.name not in kind.__annotations__]
    rows = []
    for field in [*own, *inherited] if kind is RunResult else [*inherited, *own]:
        hint, name = hints[field.name], f"{prefix}{field.name}"
        rows.append((name, describe_type(hint), field.metadata["help"]))
        options = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        for option in options:
            if isinstance(option, type) and is_dataclass(option):
                rows += list_fields(option, f"{name}.")
            elif get_origin(option) is list and is_dataclass(get_args(option)[0]):
                rows += list_fields(get_args(option)[0], f"{name}[].")
            elif get_origin(option) is dict and is_dataclass(get_args(option)[1]):
                rows += list_fields(get_args(option)[1], f"{name}.*.")
    return rows


def make_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table; the first column is code."""
    lines = [" | ".join(header), " | ".join(["---"] * len(header))]
    lines += [" | ".join([f"`{row[0]}`", *(cell.replace("<", "&lt;") for cell in row[1:])]) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def make_page() -> str:
    """Return the text of docs/result.md."""
    columns = ("field", "type", "meaning")
    return f"""# The fields of result.json

This page is made by `python docs/make_result_table.py` from `hemexp/files/result.py`; a test compares the two.
`schema_version` is {SCHEMA_VERSION}. `a.b` is field `b` of the object `a`; `a[].b` is field `b` of every entry of
the list `a`; `a.*.b` is field `b` of every entry of the object `a`. A value that is not defined
or was not computed is null.

## A run (`train.py`)

{make_table(columns, list_fields(RunResult))}

## A prediction (`predict.py`)

{make_table(columns, list_fields(PredictionResult))}

## One patient (`patient.json` of `predict.py`)

{make_table(columns, list_fields(PatientResult))}

## Conclusions

{make_table(("conclusion", "meaning"), list(CONCLUSIONS.items()))}

## Leaks

What follows `LEAKAGE:` in a verdict. `tuning_on_test` is about the test score of a search, not about a run.

{make_table(("leak", "meaning"), list(LEAKS.items()))}

## Caveats

{make_table(("caveat", "meaning"), list(CAVEATS.items()))}
"""


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
