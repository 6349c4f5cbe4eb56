"""Blank workbooks in English and in Chinese: units, drop-down lists, an example row and the data dictionary."""

import io
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import xlsxwriter

from hemexp.cohort.columns import EXAMPLE_IDS, Column, known_columns
from hemexp.errors import UserError
from hemexp.files.writing import write_bytes

LANGUAGES = ("english", "chinese")
REQUIRED = ("patient_id", "onset_time", "scan_time", "HM_volume")
_CREATED = datetime(2031, 1, 1)  # a fixed date: a blank workbook is always the same bytes
NUM_ROWS = 5000  # rows with drop-down lists and checks
_ROLES = ("key", "source", "imaging", "clinical", "extra", "treatment", "outcome")  # order of the columns
_SPECIAL = (
    "patient_id",
    "center",
    "onset_time",
    "scan_serial",
    "scan_time",
    "hours_from_onset",
    "HM_volume",
    "ED_volume",
)
_TIME_FORMAT = "YYYY-MM-DD hh:mm"
_CHINESE = {
    "patients": "患者",
    "scans": "检查",
    "dictionary": "数据字典",
    "male": "男",
    "female": "女",
    "yes": "是",
    "no": "否",
    "hours": "小时",
    "years": "岁",
    "per minute": "次/分",
    "required": "必填",
    "optional": "可选",
    "column": "列名",
    "sheet": "工作表",
    "meaning": "含义",
    "name in hemexp": "在hemexp中的名称",
    "unit": "单位",
    "legal values": "允许的取值",
    "needed": "是否需要",
    "input of a model": "能否作为模型输入",
    "{0} or {1}": "{0}或{1}",
    "number from {0} to {1}": "{0}至{1}之间的数",
    "whole number from {0} to {1}": "{0}至{1}之间的整数",
    "number": "数",
    "whole number": "整数",
    "date": "日期",
    "time of day": "时刻",
    "text": "文本",
    "systolic/diastolic, such as 168/95": "收缩压/舒张压，例如168/95",
    "text; the same in all rows of a patient": "文本；同一患者的所有行相同",
    "text; different for every scan": "文本；每次检查不同",
    f"date and time, {_TIME_FORMAT}": f"日期和时间，{_TIME_FORMAT}",
    "no: it names the patient, the center, the scan or its time": "否：用于标识患者、中心、检查或时间",
    "no: other columns are computed from it": "否：用于计算其他列",
    "no: a treatment is given after the first scan": "否：治疗在首次检查之后",
    "no: it is known only later": "否：之后才知道",
}
_INSTEAD = {
    "english": "Fill it in where the onset time or the scan time is not known.",
    "chinese": "如不知道发病时间或检查时间，请填此列。",
}
_INTRODUCTION = {
    "english": (
        "Fill in one row for each patient in the first sheet and one row for each scan in the second. Dark headers "
        "with a star are required; leave any other cell empty where the value is not known. The gray row is an "
        "example and is not read. Then run: python prepare.py data.root=THIS_FILE"
    ),
    "chinese": (
        "在第一个工作表中每位患者填一行，在第二个工作表中每次检查填一行。带星号的深色列为必填；"
        "其他未知的值请留空。灰色行是示例，不会被读取。然后运行：python prepare.py data.root=本文件"
    ),
}


def write_templates(directory: Path) -> list[Path]:
    """Write a blank workbook in each language; return their paths.

    Raises:
        UserError: one of the files exists and is not blank.
    """
    contents = {directory / f"hemexp_template_{language}.xlsx": _build(language) for language in LANGUAGES}
    for path, content in contents.items():
        if path.exists() and path.read_bytes() != content:
            raise UserError(f"template={directory}: {path.name} exists and is not overwritten; name another folder")
    for path, content in contents.items():
        write_bytes(path, content)
    return list(contents)


def _build(language: str) -> bytes:
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"in_memory": True}) as book:
        book.set_properties({"created": _CREATED})
        _Workbook(book, language).write()
    return content.getvalue()


def list_template_columns(sheet: str) -> list[Column]:
    """Return the columns of the sheet ``patients`` or ``scans``."""
    of = sheet.removesuffix("s")
    optional = [
        column
        for column in known_columns().values()
        if column.of == of and column.role in ("clinical", "extra", "treatment", "outcome") and column.kind != "text"
    ]
    special = [known_columns()[name] for name in _SPECIAL]
    first = [column for column in special if column.of == of or column.name == "patient_id"]
    optional = [column for column in optional if column.name != "onset_to_first_scan"]  # hours_from_onset says it
    return [*first, *sorted(optional, key=lambda column: _ROLES.index(column.role))]


def make_header(column: Column, language: str = "english") -> str:
    """Return the header of a column: its meaning, its unit, and a star if it is required."""
    unit = _TIME_FORMAT if column.kind == "time" else _get_unit(column)
    text = column.meaning if language == "english" else column.chinese
    text += f" ({_translate(unit, language)})" if unit else ""
    return f"{text} *" if column.name in REQUIRED else text


def describe_values(column: Column, language: str = "english", factor: float = 1.0) -> str:
    """Return the legal values of a column in words.

    Args:
        column: of the data dictionary.
        language: one of `LANGUAGES`.
        factor: from the unit of the text to the unit of the column.
    """
    say = partial(_translate, language=language)
    pairs = {"sex": ("male", "female"), "yes_no": ("yes", "no")}
    if column.kind in pairs:
        return say("{0} or {1}").format(*map(say, pairs[column.kind]))
    texts = {
        "id": "text; the same in all rows of a patient",
        "serial": "text; different for every scan",
        "time": f"date and time, {_TIME_FORMAT}",
        "pressure": "systolic/diastolic, such as 168/95",
        "date": "date",
        "clock": "time of day",
        "text": "text",
        "event": "text",
    }
    if column.kind in texts:
        return say(texts[column.kind])
    number = "whole number" if column.kind in {"whole", "count"} else "number"
    if column.range is None:
        return say(number)
    return say(f"{number} from {{0}} to {{1}}").format(*(f"{limit / factor:.10g}" for limit in column.range))


def describe_use(column: Column, language: str = "english") -> str:
    """Return whether a model may use a column as an input, and why not."""
    reasons = {
        "treatment": "no: a treatment is given after the first scan",
        "source": "no: other columns are computed from it",
        "key": "no: it names the patient, the center, the scan or its time",
        "clinical": "no: it is not about the patient",
    }
    later = "no: it is known only later"
    return _translate("yes" if column.is_input else reasons.get(column.role, later), language)


def _translate(text: str, language: str) -> str:
    return text if language == "english" else _CHINESE.get(text, text)


def _get_unit(column: Column) -> str:
    """Return the unit in the template; volumes are in mL, as a hospital has them."""
    return "mL" if column.kind == "volume" else "" if column.kind == "sex" else column.unit


class _Workbook:
    """The sheets of one workbook."""

    def __init__(self, book: Any, language: str) -> None:
        self.book, self.language = book, language
        self.say: Callable[[str], str] = partial(_translate, language=language)

    def write(self) -> None:
        """Write the sheets ``patients``, ``scans`` and ``dictionary`` with their names in the language."""
        for name in ("patients", "scans"):
            sheet = self.book.add_worksheet(self.say(name))
            sheet.freeze_panes(1, 1)
            sheet.set_row(0, 48)
            for position, column in enumerate(list_template_columns(name)):
                self._write_column(sheet, position, column)
        self._write_dictionary()

    def _write_column(self, sheet: Any, position: int, column: Column) -> None:
        cells = {"id": {"num_format": "@"}, "serial": {"num_format": "@"}, "time": {"num_format": "yyyy-mm-dd hh:mm"}}
        style = cells.get(column.kind, {})
        width = {"id": 14, "serial": 16, "time": 18}.get(column.kind, 14)
        sheet.set_column(position, position, width, self.book.add_format(style))
        header = make_header(column, self.language)
        sheet.write_string(0, position, header, self._header_format(column))
        sheet.write_comment(0, position, "\n".join(self._describe(column)), {"x_scale": 2, "y_scale": 1.1})
        gray = self.book.add_format({**style, "font_color": "#808080", "bg_color": "#F2F2F2", "italic": True})
        sheet.write(1, position, self._example(column), gray)
        if rule := self._validation(column):
            message = {"error_title": header[:32], "error_message": self._values(column)}
            sheet.data_validation(1, position, NUM_ROWS, position, {**rule, **message})

    def _header_format(self, column: Column) -> Any:
        colors = {"bg_color": "#DDEBF7"} if column.is_input or column.role == "key" else {"bg_color": "#E7E6E6"}
        if column.name in REQUIRED:
            colors = {"bg_color": "#1F4E79", "font_color": "#FFFFFF"}
        return self.book.add_format({"bold": True, "text_wrap": True, "valign": "top", "border": 1, **colors})

    def _describe(self, column: Column) -> list[str]:
        """Return meaning, legal values, whether the column is needed, and whether it can be an input."""
        meaning = column.meaning if self.language == "english" else column.chinese
        needed = self.say("required" if column.name in REQUIRED else "optional")
        if column.name == "hours_from_onset":
            needed += f". {_INSTEAD[self.language]}"
        use = f"{self.say('input of a model')}: {describe_use(column, self.language)}"
        return [meaning, self._values(column), needed, use]

    def _values(self, column: Column) -> str:
        return describe_values(column, self.language, factor=1000 if column.kind == "volume" else 1)

    def _example(self, column: Column) -> Any:
        if column.kind == "id":
            return EXAMPLE_IDS[LANGUAGES.index(self.language)]
        if column.kind == "time":
            return datetime.fromisoformat(column.example)
        return self.say({1: "yes", 0: "no"}[column.example] if column.kind == "yes_no" else column.example)

    def _validation(self, column: Column) -> dict[str, Any] | None:
        """Return the rule of a column as Excel checks it; None where every text is legal."""
        lists = {"sex": ["male", "female"], "yes_no": ["yes", "no"]}
        if column.kind in lists:
            return {"validate": "list", "source": [self.say(text) for text in lists[column.kind]]}
        if column.kind == "time":
            return {
                "validate": "date",
                "criteria": "between",
                "minimum": datetime(1970, 1, 1),
                "maximum": datetime(2100, 12, 31),
            }
        if column.range is None:
            return None
        low, high = (limit // 1000 if column.kind == "volume" else limit for limit in column.range)
        kind = "integer" if column.kind == "whole" else "decimal"
        return {"validate": kind, "criteria": "between", "minimum": low, "maximum": high}

    def _write_dictionary(self) -> None:
        sheet = self.book.add_worksheet(self.say("dictionary"))
        wrapped = self.book.add_format({"text_wrap": True, "valign": "top"})
        bold = self.book.add_format({"bold": True, "text_wrap": True, "bg_color": "#DDEBF7", "border": 1})
        columns = {
            "column": 40, "sheet": 10, "meaning": 34, "name in hemexp": 22, "unit": 12, "legal values": 34,
            "needed": 58, "input of a model": 40,
        }  # fmt: skip
        sheet.merge_range(0, 0, 0, len(columns) - 1, _INTRODUCTION[self.language], wrapped)
        sheet.set_row(0, 32)
        for position, (name, width) in enumerate(columns.items()):
            sheet.set_column(position, position, width)
            sheet.write_string(1, position, self.say(name), bold)
        sheet.freeze_panes(2, 1)
        rows = [(name, column) for name in ("patients", "scans") for column in list_template_columns(name)]
        for row, (name, column) in enumerate(rows, start=2):
            meaning, values, needed, _ = self._describe(column)
            header, unit = make_header(column, self.language), self.say(_get_unit(column))
            use = describe_use(column, self.language)
            for position, text in enumerate((header, self.say(name), meaning, column.name, unit, values, needed, use)):
                sheet.write_string(row, position, text, wrapped)
