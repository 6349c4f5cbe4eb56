"""Read a text file with a table: find its encoding, its separator, its decimal sign and the row of its headers."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
from charset_normalizer import from_bytes
from pyarrow import csv as arrow_csv

from hemexp.cohort.findings import Cell, Findings
from hemexp.cohort.tables import table
from hemexp.cohort.tables.file_end import find_cut_cell
from hemexp.cohort.tables.parquet import build_arrow_sheet
from hemexp.cohort.tables.sheet import Sheet

_SAMPLE = 2**18  # characters from which separator, decimal sign and headers are found
_SEPARATORS = "\t;,|"
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+,(\d{1,2}|\d{4,})|0,\d+)")  # not 1,234: it may be a thousand
_NUMBER = r"[+-]?(\d*[{0}]?\d+|\d+[{0}])([eE][+-]?\d+)?"
_CHINESE_WORDS = re.compile("患者|病人|编号|性别|年龄|血肿|概率|日期|时间|是否|首次|检查")  # of headers
_OLD_ENCODINGS = ["gb18030", "cp1252", "big5", "cp932", "cp949", "cp1250", "cp1254", "cp1251"]


def read_text_file(path: Path, is_text: Callable[[str], bool], findings: Findings) -> list[Sheet]:
    """Return the table of a text file; an empty list, with a warning, if it does not hold one.

    Args:
        path: of the file.
        is_text: whether the column of a header stays text.
        findings: receives the errors and warnings.

    Raises:
        ValueError: the file cannot be read, or is cut off.
    """
    encoding = find_encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        sample = file.read(_SAMPLE)
        if file.read(1):
            sample = sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1]
    separator = _find_separator(sample)
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=separator)
    rows, line_numbers = zip(*((row, reader.line_num) for row in reader), strict=True)
    found = table.find_header(_pad(rows[: table.FIRST_ROWS + 2]))
    if found is None:
        message = "there is no table: no row of headers with rows below; not read"
        findings.warn("unread_sheet", Cell(path.name), message)
        return []
    header_row, header = found
    data = [row for row in rows[header_row + 1 :] if any(row)]
    (usual_width, _), *_ = Counter(map(len, data)).most_common(1)
    named = 1 + max(j for j, text in enumerate(header) if text)
    header = [*header[:named], *[""] * (usual_width - named)]  # all rows may end with separators
    cells = [[text for row in data if j < len(row) and (text := row[j].strip())] for j in range(len(header))]
    uses_comma = separator != "," and any(_DECIMAL_COMMA.fullmatch(text) for column in cells for text in column)
    decimal = "," if uses_comma else "."
    fractions = [j for j, column in enumerate(cells) if not is_text(header[j]) and _has_fractions(column, decimal)]
    content = _read(path, encoding, separator, decimal, line_numbers[header_row], len(header), fractions)
    if not isinstance(content, pa.Table):
        _report_ragged(path.name, content, len(header), header_row, findings)
        return []
    if any(len(content[j].drop_null()) for j in range(named, len(header))):
        _report_ragged(path.name, {1: len(header)}, named, header_row, findings)
        return []
    last_row = [content[j][-1].as_py() for j in range(len(header)) if len(content)]
    if any("\n" in text for text in last_row if isinstance(text, str)) and path.read_bytes().count(b'"') % 2:
        message = "a quotation mark is not closed, and the rest of the file is one cell; rule: marks are in pairs"
        findings.error("file_unreadable", Cell(path.name, "", header_row + 1 + len(content)), f"{message}; correct it")
        return []
    cut = find_cut_cell(path, encoding, separator, cells)
    if cut is not None:
        message = (
            f"the file does not end with a line break, and nothing shows that its last cell, {cut!r}, is complete; "
            "if the file was cut off, the value is wrong; compare it with the original, or export the file again"
        )
        findings.warn("file_end", Cell(path.name, "", header_row + 1 + len(content)), message, value=cut)
    return [build_arrow_sheet(path.name, header, iter(content.columns), is_text, findings, header_row, decimal)]


def find_encoding(path: Path) -> str:
    """Return the encoding of a text file: by its byte-order mark, UTF-8, UTF-16, or one of `_OLD_ENCODINGS`."""
    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(0)
        if head.startswith(codecs.BOM_UTF8):
            return "utf-8-sig"
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if b"\0" in head:
            return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while block := file.read(2**22):
                decoder.decode(block)
        except UnicodeDecodeError:
            return _find_old_encoding(path.read_bytes())
        if rest := decoder.getstate()[0]:
            content = path.read_bytes()
            if content[: -len(rest)].isascii():
                return _find_old_encoding(content)
            raise ValueError("the file ends in the middle of a character: it is cut off; copy or export it again")
    return "utf-8"


def _find_old_encoding(content: bytes) -> str:
    """Return the most likely one of the older encodings, from the lines that are not plain ASCII.

    Where several fit as well, it is the first of `_OLD_ENCODINGS`; letters that are rare in Western texts, such as þ,
    are Turkish, and signs within a word, such as ³, are Polish or Czech.
    """
    lines = b"\n".join(line for line in content.splitlines() if not line.isascii())[:_SAMPLE]
    if _CHINESE_WORDS.search(lines.decode("gb18030", "replace")):
        return "gb18030"
    matches = from_bytes(lines, cp_isolation=_OLD_ENCODINGS)
    best = matches.best()
    if best is None:
        return "latin-1"
    is_western = best.encoding in {"cp1252", "cp1250", "cp1254"}  # which language it is likely to be says too little
    fits = [
        match for match in matches if match.chaos <= best.chaos and (is_western or match.coherence >= best.coherence)
    ]
    tied = {name for match in fits for name in match.could_be_from_charset}
    encoding = next((name for name in _OLD_ENCODINGS if name in tied), best.encoding)
    for name, letters, share in (("cp949", "[가-힣]", 0.9), ("cp932", "[ぁ-んァ-ヴ]", 0.3)):
        text = lines.decode(name, "replace") if name in tied else ""
        if text and len(re.findall(letters, text)) >= share * _count_foreign(text):
            return name
    text = lines.decode(encoding, "replace")
    if encoding == "cp1252" and re.search("[þýðÞÝÐ]", text):
        return "cp1254"
    return "cp1250" if encoding == "cp1252" and re.search(r"[³¹¿£¥¼][a-zæêñ]", text) else encoding


def _count_foreign(text: str) -> int:
    """Return the number of characters that are not ASCII."""
    return len(re.sub("[\0-\x7f]", "", text))


def _find_separator(sample: str) -> str:
    """Return the separator with which most lines have the same number of cells, above one."""
    if match := re.match(r"sep=(.)[\r\n]", sample):
        return match[1]
    lines = sample.splitlines(keepends=True)[:100]

    def agreement(separator: str) -> int:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=separator) if len(row) > 1)
        return widths.most_common(1)[0][1] if widths else 0

    best = max(_SEPARATORS, key=agreement)
    return best if agreement(best) else ","


def _pad(rows: Iterable[list[str]]) -> list[list[str]]:
    width = max(map(len, rows))
    return [row + [""] * (width - len(row)) for row in rows]


def _has_fractions(texts: list[str], decimal: str) -> bool:
    """Return whether all texts are numbers and not all are whole numbers."""
    number = re.compile(_NUMBER.format(re.escape(decimal)))
    return all(map(number.fullmatch, texts)) and not all(text.lstrip("+-").isdigit() for text in texts)


def _read(
    path: Path, encoding: str, separator: str, decimal: str, num_lines: int, width: int, fractions: list[int]
) -> pa.Table | dict[int, int]:
    """Return the rows below the header: fractions as float64, other cells as text.

    Returns:
        The table; where rows have more or fewer cells, the number of their cells by their row below the header from 1.
    """
    ragged: dict[int, int] = {}

    def skip(row: arrow_csv.InvalidRow) -> str:
        ragged[row.number - num_lines] = row.actual_columns
        return "skip"

    names = [str(j) for j in range(width)]
    types = {name: pa.float64() if j in fractions else pa.string() for j, name in enumerate(names)}

    def read(types: dict[str, pa.DataType]) -> pa.Table:
        return arrow_csv.read_csv(
            path,
            arrow_csv.ReadOptions(
                use_threads=False,  # else a row has no number
                skip_rows=num_lines,
                column_names=names,
                encoding="utf-8" if encoding.startswith("utf-8") else encoding,
            ),
            arrow_csv.ParseOptions(
                delimiter=separator, newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip
            ),
            arrow_csv.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=True, decimal_point=decimal
            ),
        )

    try:
        content = read(types)
    except pa.ArrowInvalid:  # a cell far below is not a number
        content = read({name: kind for name, kind in types.items() if pa.types.is_string(kind)})
    return ragged or content


def _report_ragged(file: str, cells: dict[int, int], width: int, header_row: int, findings: Findings) -> None:
    """Report rows with more or fewer cells than the header; `cells` has their number by row below the header."""
    rows = [header_row + 1 + row for row in cells]
    message = f"row {rows[0]} has {next(iter(cells.values()))} cells and the header {width}"
    more = f" ({len(rows)} such rows)" if len(rows) > 1 else ""
    advice = "rule: as many in every row, and texts with a separator in quotation marks; correct the file"
    others = [Cell(file, "", row) for row in rows[1:]]
    findings.add("error", "file_unreadable", Cell(file, "", rows[0]), f"{message}{more}; {advice}", others=others)
