"""Read one cell: a number with its unit, a code or a blood pressure. Columns of cells are in `hemexp.cohort.cells`.

It works without pandas, whose import would take most of the time of a prediction for one patient.
"""

import math
import re
import unicodedata
from collections.abc import Mapping

import numpy as np

from hemexp.cohort.headers import INVISIBLE, clean, read_unit


class Rule(str):
    """The rule that a cell breaks; a converter returns it in the place of a value."""


LARGEST = 1e15  # Excel keeps 15 digits of a number; every value of these tables is far smaller
MISSING_TEXTS = {*"-/.?", "--", "---", "??", "na", "n/a", "n.a", "n.a.", "nan", "none", "null", "nk", "unk"}
MISSING_TEXTS |= {"unknown", "missing", "not known", "not done", "not available", "nd", "n.d.", "n/k"}
MISSING_TEXTS |= {"无", "不详", "未知", "未查", "未测", "未做", "未记录", "不明", "不清楚", "缺失", "时间不详"}
MISSING_TEXTS |= {"unbekannt", "nicht bekannt", "k.a.", "k. a.", "keine angabe", "onbekend", "inconnu", "nc"}
MISSING_TEXTS |= {"desconocido"}
MISSING_TEXTS |= {"sconosciuto", "non noto", "desconhecido", "unclear", "unwitnessed", "wake-up", "wake up"}
MISSING_TEXTS |= {"wakeup", "醒后卒中"}

MISSING = Rule("text that says that there is no value")
NUMBER_RULE = Rule("a number, or an empty cell; correct the cell or clear it")
_FOOTNOTE = re.compile(r"(?<=[0-9])[²³¹⁰⁴-⁹₀-₉①-⑳½¼¾⅐-⅞]")
_EXACT = Rule("an exact number, or an empty cell; enter the number or clear the cell")


def clean_cell(text: str) -> str:
    """Return a text without differences of case, width and dashes, and without invisible characters."""
    if _is_plain(text):
        return clean(text)
    text = _FOOTNOTE.sub(r"^\g<0>", text.translate(INVISIBLE))  # 12² is not 122
    return re.sub("[−–—]", "-", clean(text))


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def cell_text(value: object) -> str:
    """Return a cell as text; a whole number has no decimals."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    return text if _is_plain(text) else unicodedata.normalize("NFKC", text.translate(INVISIBLE)).strip()


def as_float(value: object) -> float:
    """Return a number as float; anything else is NaN."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return float(value)
    return math.nan


_AMBIGUOUS = Rule(
    "1,234 can be 1.234 or 1234 and no other cell of the column decides it; write decimals with a point, "
    "and no sign between thousands"
)
_PRESSURE = Rule("systolic/diastolic in mmHg, such as 180/90; correct the cell")


def name_unit(text: str) -> str:
    """Return our spelling of a unit; other texts unchanged."""
    return read_unit(text) or clean_cell(text)


_DIGITS = r"[+-]?(?:\d[\d.,]*|[.,]\d+)(?:e[+-]?\d+)?"
_NUMBER_WITH_UNIT = re.compile(rf"({_DIGITS})(?:\s*([^\d\s.,:/+-]\D*[23]?))?")
_IN_ARRAY = re.compile(r"array\(\[?([^\[\]()]*)\]?\)|\[([^\[\]]*)\]")  # as PyRadiomics writes a number
_EITHER_SIGN = r"[1-9]\d{0,2}[.,]\d{3}"  # 1,234: the sign is decimal or of the thousands


def _decimal_pattern(sign: str, other: str) -> re.Pattern[str]:
    """Return the pattern of numbers that show that this sign is the decimal one."""
    group = rf"\d{{1,3}}(?:{other}\d{{3}})"
    return re.compile(rf"{group}+{sign}\d+|{group}{{2,}}|(?!{_EITHER_SIGN}$)\d*{sign}\d*")


_DECIMAL_SIGNS = {".": _decimal_pattern(r"\.", ","), ",": _decimal_pattern(",", r"\.")}


def split_unit(text: str) -> tuple[str, str] | None:
    """Return the number and the unit of a text, or None if it is not a number."""
    text = clean_cell(text)
    if match := _IN_ARRAY.fullmatch(text):
        text = (match[1] or match[2] or "").strip()
    text = re.sub(r"(?<=\d)[ '’](?=\d{3}(?!\d))", "", text)
    match = _NUMBER_WITH_UNIT.fullmatch(text)
    return (match[1], name_unit((match[2] or "").rstrip(". "))) if match else None


def get_decimal_sign(digits: str) -> str:
    """Return the decimal sign that a number shows; empty if it has none or may have either."""
    mantissa = digits.lstrip("+-").partition("e")[0]
    return next((sign for sign, pattern in _DECIMAL_SIGNS.items() if pattern.fullmatch(mantissa)), "")


def read_number(value: object, signs: frozenset[str], factors: Mapping[str, float]) -> float | Rule:
    """Return the number of a cell, or the rule that it breaks; `signs` are the decimal signs of the column."""
    if not isinstance(value, str):
        return _scale_number(as_float(value), factors[""])
    text = clean_cell(value)
    if text in MISSING_TEXTS or not text:
        return MISSING
    split = split_unit(text)
    if split is None:
        return _EXACT if re.match(r"[<>≤≥≦≧~≈±]|约|大于|小于|about|approx|ca\.?\s|circa", text) else NUMBER_RULE
    digits, unit = split
    if unit not in factors:
        known = "points" if "points" in factors else ", ".join(filter(None, factors))
        return Rule(f"a number{f' in {known}, or one' if known else ''} without a unit; correct the cell or clear it")
    number = read_digits(digits, signs)
    return number if isinstance(number, Rule) else _scale_number(number, factors[unit])


def _scale_number(number: float, factor: float) -> float | Rule:
    if not abs(number) < LARGEST:
        return NUMBER_RULE
    return number if factor == 1 else round(number * factor, 6)


def read_digits(digits: str, signs: frozenset[str]) -> float | Rule:
    """Return the value of a number, whose decimal sign may follow from the other numbers of the column."""
    sign = get_decimal_sign(digits)
    if not sign and re.search("[.,]", digits):
        if not re.fullmatch(rf"[+-]?{_EITHER_SIGN}", digits):
            return NUMBER_RULE
        if len(signs) == 1:
            (sign,) = signs
        elif signs or "," in digits:
            return _AMBIGUOUS
    sign = sign or "."
    return float(digits.replace("," if sign == "." else ".", "").replace(sign, "."))


def read_pressure(value: object) -> tuple[float, float, bool] | Rule:
    """Return systolic, diastolic and whether there are spaces, or the rule that a cell breaks."""
    text = clean_cell(str(value))
    if text in MISSING_TEXTS:
        return MISSING
    match = re.fullmatch(r"(\d+)(\s*[/⁄-]\s*)(\d+)(\s*mmhg)?", text)
    if not match:
        return _PRESSURE
    has_spaces = match[2] != match[2].strip() or str(value) != str(value).strip()
    return float(match[1]), float(match[3]), has_spaces


def _code_table(**texts: str) -> dict[str, float]:
    codes = {"one": 1.0, "two": 2.0, "zero": 0.0}
    return {text: codes[name] for name, line in texts.items() for text in line.split()}


YES_NO = _code_table(
    one="1 true yes y t ja j oui si sí sì sim x + ++ 是 有 阳性 阳 positive pos present current wahr vrai verdadero",
    zero="0 false no n f nein non não nee - 否 无 没有 无 阴性 阴 negative neg absent never falsch faux falso",
)
SEXES = _code_table(
    one="1 m male man men männlich maennlich mann homme h hombre masculin masculino maschio uomo homem masc masc. "
    "varón varon erkek mężczyzna 남 남성 남자 "
    "男 男性",
    two="2 f female woman women w weiblich frau femme mujer féminin feminin femenino feminino femmina donna mulher "
    "vrouw v fem fem. kadın kadin kobieta 여 여성 여자 女 女性",
)


def read_code(word: str, kind: str) -> str:
    """Return what a word means in a column of the kind sex or yes_no: male, female, yes or no; else an empty text."""
    if kind == "sex":
        return {1.0: "male", 2.0: "female"}.get(SEXES.get(word, 0.0), "")
    return {1.0: "yes", 0.0: "no"}.get(YES_NO.get(word, 2.0), "")


def get_word(value: object) -> str:
    """Return the word of a code: lower case, without parentheses around it."""
    return re.sub(r"^\((.*)\)$", r"\1", clean_cell(cell_text(value)))


def find_code(value: object, codes: Mapping[str, float], rule: Rule) -> float | Rule:
    """Return the code of a cell, or the rule that it breaks."""
    word = get_word(value)
    return codes.get(word, MISSING if word in MISSING_TEXTS or not word else rule)
