"""Damage of the bytes of a file, and other files in the folder."""

import csv
import io
from pathlib import Path

from damage.choices import Choices
from damage.folder import Book, Change, Folder, Grid, write_book
from damage.of_cells import Damage, NotPossible, is_number, pick_column, require
from damage.redundancy import ONE_VALUE, WHOLE

_TEXT = {".csv", ".tsv", ".txt"}


def _replace(folder: Folder, file: str, old: bytes, new: bytes) -> Change:
    """Change the bytes of a file; where it is a text, the change is about its rows and columns."""
    require(old != new)
    folder.byte_changes.append((file, lambda _: new))
    change = Change(file)
    if Path(file).suffix == ".parquet":
        change.unknowable = "Parquet files have no checksum"
    if Path(file).suffix in _TEXT:
        _describe_text(folder, change, folder.books[file], old, new)
    return change


def _describe_text(folder: Folder, change: Change, book: Book, old: bytes, new: bytes) -> None:
    try:
        before, after = (
            list(csv.reader(io.StringIO(content.decode(book.encoding), newline=""), delimiter=book.separator))
            for content in (old, new)
        )
    except (UnicodeDecodeError, csv.Error):
        return
    if len(after) < len(before) and after == before[: len(after)]:
        change.unknowable = WHOLE
        return
    if len(before) != len(after):
        return
    rows = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    if not rows or any(len(before[i]) != len(after[i]) for i in rows):
        return
    cells = [(i, j) for i in rows for j, (a, b) in enumerate(zip(before[i], after[i], strict=True)) if a != b]
    if len(cells) > 3:
        return
    change.rows = {i for i, _ in cells if i}
    change.columns = {j for _, j in cells}
    headers = {before[0][j] for j in change.columns}
    change.column_words = headers | {name for header in headers for name in folder.names.get(header, ())}
    change.row_words = {word for i in change.rows for word in before[i] + after[i] if word in folder.patients}
    change.row_words |= {after[i][0] for i in change.rows}
    if 0 not in rows and all(_is_like(before[i][j], after[i][j]) for i, j in cells):
        change.unknowable = ONE_VALUE


def _is_like(a: str, b: str) -> bool:
    """Return whether two texts have the same form: a number, or as many letters and digits."""

    def form(text: str) -> str:
        return "".join("9" if each.isdigit() else "a" if each.isalpha() else each for each in text)

    try:
        float(a), float(b)
    except ValueError:
        return form(a) == form(b)
    return True


def _content(folder: Folder, choices: Choices, suffixes: set[str] | None = None) -> tuple[str, bytes]:
    files = [name for name in folder.books if name not in folder.removed]
    files = [name for name in files if suffixes is None or Path(name).suffix in suffixes]
    require(files and not folder.byte_changes)
    file = choices.pick(files)
    return file, folder.get_content(file)


def _cut(folder: Folder, choices: Choices) -> list[Change]:
    file, old = _content(folder, choices)
    at = choices.pick([choices.below(len(old)), len(old) - 1 - choices.below(min(len(old) - 1, 40))])
    return [_replace(folder, file, old, old[:at])]


def _flip(folder: Folder, choices: Choices) -> list[Change]:
    file, old = _content(folder, choices)
    new = bytearray(old)
    for _ in range(choices.between(1, 3)):
        new[choices.below(len(new))] ^= 1 << choices.below(8)
    return [_replace(folder, file, old, bytes(new))]


def _insert(folder: Folder, choices: Choices) -> list[Change]:
    file, old = _content(folder, choices)
    added = choices.pick(
        [b"\0", b"\0" * 100, b"\n", b"\r", b'"', b"\xef\xbb\xbf", b"\xff", b",", b";", b"\t", b"<html>", b"\x1a"]
    )
    at = choices.pick([0, len(old), choices.below(len(old))])
    return [_replace(folder, file, old, old[:at] + added + old[at:])]


def _drop(folder: Folder, choices: Choices) -> list[Change]:
    file, old = _content(folder, choices)
    at = choices.below(len(old))
    return [_replace(folder, file, old, old[:at] + old[at + choices.pick([1, 2, 16, 512]) :])]


def _zero(folder: Folder, choices: Choices) -> list[Change]:
    """Fill a block with zero bytes, as a disk that fails does."""
    file, old = _content(folder, choices)
    at, size = choices.below(len(old)), choices.pick([1, 64, 512, len(old)])
    new = old[:at] + b"\0" * len(old[at : at + size]) + old[at + size :]
    return [_replace(folder, file, old, new)]


def _twice(folder: Folder, choices: Choices) -> list[Change]:
    """Append a file to itself, with or without its header."""
    file, old = _content(folder, choices)
    start = choices.pick([0, old.find(b"\n") + 1])
    folder.byte_changes.append((file, lambda _: old + old[start:]))
    return [Change(file)]


def _encode(folder: Folder, choices: Choices) -> list[Change]:
    """Save a text in another encoding; what it cannot hold becomes a question mark."""
    file, old = _content(folder, choices, _TEXT)
    encoding = choices.pick(
        ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "gb18030", "cp1252", "utf-32", "cp037", "big5"]
    )
    return [_replace_whole(folder, file, old.decode().encode(encoding, "replace"))]


def _replace_whole(folder: Folder, file: str, new: bytes) -> Change:
    folder.byte_changes.append((file, lambda _: new))
    return Change(file)


def _end_lines(folder: Folder, choices: Choices) -> list[Change]:
    """End all or some of the lines of a text in another way, or add blank lines and separators."""
    file, old = _content(folder, choices, _TEXT)
    lines = old.split(b"\n")
    part = set(choices.part(range(len(lines))))
    separator = folder.books[file].separator.encode()
    end = choices.pick(
        [
            b"\r\n",
            b"\r",
            b"\n\n",
            b"\n\r\n",
            separator + b"\n",
            separator * 3 + b"\n",
            b" \n",
            b"\x0b\n",
            b"\xe2\x80\xa8\n",
        ]
    )
    new = b"".join(line + (end if i in part else b"\n") for i, line in enumerate(lines[:-1]))
    return [_replace_whole(folder, file, choices.pick([new, new[:-1]]))]


def _separate(folder: Folder, choices: Choices) -> list[Change]:
    """Write a text with another separator, or put quotation marks around cells."""
    file, old = _content(folder, choices, _TEXT)
    book = folder.books[file]
    rows = list(csv.reader(io.StringIO(old.decode(), newline=""), delimiter=book.separator))
    separator = choices.pick([";", "|", "\t", ",", " ", ":", "^"])
    buffer = io.StringIO(newline="")
    quoting = choices.pick([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    csv.writer(buffer, delimiter=separator, quoting=quoting, lineterminator="\n").writerows(rows)
    text = choices.pick(["", f"sep={separator}\n"]) + buffer.getvalue()
    return [_replace_whole(folder, file, text.encode())]


def _remove_file(folder: Folder, choices: Choices) -> list[Change]:
    require(len(folder.books) > 1)
    file = choices.pick(list(folder.books))
    folder.removed.add(file)
    change = Change(file, is_lost_file=True)
    change.column_words = {Path(file).stem, f"{file[:2]}*.xlsx", f"{file[:3]}*.xlsx"}
    if not folder.is_published:
        change.unknowable = WHOLE
    return [change]


def _rename_file(folder: Folder, choices: Choices) -> list[Change]:
    """Rename a file: another suffix, upper case, a copy's name."""
    file = choices.pick(list(folder.books))
    require(not folder.byte_changes)
    path = Path(file)
    copies = [f"{path.stem} (1){path.suffix}", f"{file}.bak", f"~${file}", f".{file}", f"备份{file}"]
    suffixes = [path.suffix.upper(), ".xls", ".txt", "", ".csv"]
    new = choices.pick([*copies, *(path.stem + suffix for suffix in suffixes)])
    require(new != file)
    folder.others[new] = write_book(file, folder.books[file])
    folder.removed.add(file)
    change = Change(file, is_lost_file=True)
    if not folder.is_published:
        change.unknowable = WHOLE
    change.column_words = {new, Path(file).stem, f"{file[:2]}*.xlsx", f"{file[:3]}*.xlsx"}
    return [change]


def _add_file(folder: Folder, choices: Choices) -> list[Change]:
    """Put another file beside the tables: notes, a lock file, a backup, an older copy, an unrelated table."""
    file = choices.pick(list(folder.books))
    path, content = Path(file), write_book(file, folder.books[file])
    kind = choices.pick(
        ["lock", "notes", "backup", "unrelated", "encrypted", "empty", "older", "copy", "picture", "own output"]
    )
    if kind == "lock":
        name, content = choices.pick([f"~${file}", f".~lock.{file}#"]), b"\x05user"
    elif kind == "notes":
        name, content = (
            choices.pick(["readme.txt", "notes.md", "Thumbs.db", "desktop.ini", "codebook.docx"]),
            b"About the data\n",
        )
    elif kind == "backup":
        name = choices.pick([f"{file}.bak", f"{file}~", f"{path.stem}.old", f"{path.stem}.tmp"])
    elif kind == "unrelated":
        name = choices.pick(["budget.xlsx", "staff.csv", "other.ods"])
        rows = [["Item", "Cost", "Year"], ["Paper", 12.5, 2031], ["Ink", 3, 2031]]
        content = write_book(name, Book({"List": Grid(rows)}))
    elif kind == "encrypted":
        name, content = "secret.xlsx", bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 4096
    elif kind == "empty":
        name, content = choices.pick(["new.xlsx", "new.csv", "new.parquet"]), b""
    elif kind == "picture":
        name, content = choices.pick(["scan.png", "table.pdf", "scan.csv.png"]), b"\x89PNG\r\n\x1a\n" + b"\0" * 99
    elif kind == "own output":
        name = choices.pick(["labels.csv", "quality.csv", "mapping.yaml"])
        content = b"patient_id,expansion\nP001,1\n"
    else:
        name = choices.pick(
            [
                f"{path.stem} - Copy{path.suffix}",
                f"{path.stem} (2){path.suffix}",
                f"old_{file}",
                f"{path.stem}_2030{path.suffix}",
            ]
        )
        book = folder.copy().books[file]
        if kind == "older":
            grid = next(iter(book.sheets.values()))
            j = pick_column(grid, choices, is_number)
            for i in grid.records:
                if is_number(grid.rows[i][j]):
                    grid.rows[i][j] += 1
        content = write_book(file, book)
    folder.others[name] = content
    return [Change(name)]


BYTES: dict[str, Damage] = {
    "a file cut off": _cut,
    "bits flipped": _flip,
    "bytes inserted": _insert,
    "bytes dropped": _drop,
    "a block of zeros": _zero,
    "a file appended to itself": _twice,
    "a text in another encoding": _encode,
    "lines that end in another way": _end_lines,
    "another separator or more quotation marks": _separate,
}
FILES: dict[str, Damage] = {
    "a file removed": _remove_file,
    "a file renamed": _rename_file,
    "another file in the folder": _add_file,
}
__all__ = ["BYTES", "FILES", "NotPossible"]
