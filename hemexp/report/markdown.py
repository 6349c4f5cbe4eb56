"""The content of a page as Markdown, without its pictures."""

from collections.abc import Iterator
from typing import Any

from hemexp.report.blocks import Block


def to_markdown(content: dict[str, Any]) -> str:
    """Return a page as Markdown: the first screen, and the sections with texts, lists, tables and entries."""
    answer = content["answer"]
    lines = [f"# {answer['about']}", "", f"**{answer['title']}**", ""]
    lines += [f"- {name}: {words}" for name, words in answer["lines"]] + ["", answer["quiet"], ""]
    for section in content["sections"]:
        lines += [f"## {section['title']}", ""]
        for block in section["blocks"]:
            lines += _list_lines(block)
    return "\n".join(lines)


def _list_lines(block: Block) -> Iterator[str]:
    kind = block["kind"]
    if kind == "text":
        yield block["text"]
    elif kind == "list":
        yield from (f"- {item}" for item in block["items"])
    elif kind == "table":
        head = block["head"]
        yield from (f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *block["rows"]))
        yield from ("", block["note"]) if block["note"] else ()
    elif kind == "entry":
        yield from (f'### <a id="{block["anchor"]}"></a>{block["title"]}', "")
        yield from (f"- {name}: {words}" for name, words in block["facts"])
    elif kind == "questions":
        for number, each in enumerate(block["questions"], start=1):
            links = ", ".join(f"[{name}](#{name})" for name in each["links"])
            yield f"{number}. {each['question']} {links}".rstrip()
    else:
        return
    yield ""
