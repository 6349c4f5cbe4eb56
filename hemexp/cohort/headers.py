"""Read a header text: the known column, the unit and the number of the scan."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from hemexp.cohort import columns as c

_UNITS = {  # spelling, normalized → our spelling
    "mL": "ml cc ccm cm3 cm^3 cubiccm milliliter milliliters millilitre 毫升 立方厘米",
    "L": "liter liters litre litres 升",
    "10^-3 mL": "10^-3ml 10-3ml ul μl microliter mm3 mm^3 cmm 微升 立方毫米",
    "hours": "h hr hrs hour hours std stunden heures horas ore 小时 时",
    "minutes": "min mins minute minutes minuten minutos 分钟 分",
    "days": "d day days tage jours dias giorni 天 日",
    "years": "y yr yrs year years jahre ans anos 岁 年",
    "mmHg": "mmhg 毫米汞柱",
    "kPa": "kpa 千帕",
    "mmol/L": "mmol/l mmoll",
    "mg/dL": "mg/dl mgdl",
    "mm": "mm 毫米",
    "cm": "cm 厘米",
    "µmol/L": "umol/l μmol/l umoll",
}
UNIT_OF = {spelling: unit for unit, spellings in _UNITS.items() for spelling in spellings.split()}
FACTORS = {  # to the unit of our column
    "volume": {"mL": 1000.0, "10^-3 mL": 1.0, "L": 1e6},
    "hours": {"hours": 1.0, "minutes": 1 / 60, "days": 24.0},
}
_FILLERS = """
    at on of the in a for by admission patient value measured total from ct cta ncct scan scans mri imaging image head
    brain scanner tc tac tdm cct initial known ich result s de la le du des der die das del bei im year
"""
_ARTICLE_TEXT = "of the and a at in on de du des le la les l d del della dello di der die das y e et und el los da do"
_ARTICLES = set(re.findall(r"\w+", _ARTICLE_TEXT))
_DATE, _CLOCK = "date|datum|fecha|data", "time|uhrzeit|zeit|hora|ora|heure|tijd"
_DATE_AND_TIME = re.compile(
    rf"\b(?:(?:{_DATE})\W*(?:and|und|et|y|e)?\W*(?:{_CLOCK})|(?:time|heure)\W*(?:and|et)?\W*date|datetime|date_time|dt|dttm|dtm)\b"
)
_TIME_NAMES = {"time", "date", "scanner", "tc", "tac", "zeit", "zeitpunkt", "datum", "时间", "日期", "ct时间", "ct日期"}
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l"})
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?!Hg|Pa\b)(?=[A-Z][a-z])")
_SCAN_WORDS = re.compile(
    r"(?<![a-z])(?:c?ct\d*|ncct|scans?|scanner|imaging|tdm\d*|tc|tac|bildgebung)(?![a-z])|影像|检查|扫描"
)
_ONSET_WORDS = re.compile(r"onset|ictus|symptom|debut|inicio|esordio|begin|发病|起病")
_PERIOD = re.compile(  # days from onset: the time from onset, in days
    r"(days?|hours?|hrs?|minutes?|mins?|tage|stunden|minuten|jours|heures|dias|horas|giorni|ore) "
    r"(from|since|after|to|between|until|onset|symptom|seit|nach|depuis|desde|da|dall|dalla)\b"
)
_SUM = re.compile(
    r"\b(?:ich|hematoma|haematoma|hemorrhage)\b.*(?:\+|&|\b(?:and|plus|with|und|et|y)\b).*\b(?:ivh|intraventricular)\b"
)
_LEGEND = re.compile(r"[\s,;:]*\b(?:\d\s*=\s*[^\W\d]|[^\W\d_]+\s*=\s*\d).*")  # Sex: 1=male, 2=female
_CHINESE_FILLERS = r"头颅|头部|入院|影像|检查|ct|mri|患者|的|时"
_NUMBERS = {"一": 1, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10}
_ORDINALS = {
    "first": 1,
    "second": 2,
    "third": 3,
    "fourth": 4,
    "fifth": 5,
    "1st": 1,
    "2nd": 2,
    "3rd": 3,
    "4th": 4,
    "5th": 5,
}
_FIRST = (
    r"入院首次(?:影像)?(?:检查)?|首次(?:影像)?(?:检查)?|基线|baseline|initiale?|inicial|iniziale|admission|index|bl|entry|"
    r"erst|basis|basale?|aufnahme|opname|ingreso|ingresso|entree"
)
_FOLLOW_UP = r"follow[ _-]?up|followup|fu|f/u|repeat|controle?|controllo|verlaufs?|kontrolle?"
_FOLLOW_UP += r"|suivi|seguimiento|vervolg|随访|复查"
_NO_HOURS = r"(?!\d|[ ]?h(?:rs?|ours?)?\b|[ ]?小时)"
_OCCASIONS = (  # pattern of the occasion in a header, and how its number is read
    (r"[ _]e(\d{1,2})[ _]c\d{1,2}$", "number"),  # OpenClinica: event and form
    (rf"(?:{_FOLLOW_UP})[ _#-]*(?:ct|scan|no\.?|#)?[ _-]*(\d{{1,2}}){_NO_HOURS}", "follow_up"),
    (rf"(?:scan|ct|tdm|visit|time|exam)[ _#-]?(\d{{1,2}}){_NO_HOURS}", "number"),
    (r"\bt(\d)\b", "number"),
    (r"第(\d{1,2}|[一二三四五六七八九十])次(?:检查|ct|影像)?", "number"),
    (r"\b(first|second|third|fourth|fifth|1st|2nd|3rd|4th|5th)\b", "ordinal"),
    (
        r"(?<![\d.])(\d{1,3})[ _-]?(?:h|hr|hrs|hours?|小时)(?![a-z])(?:[ _-]*(?:scan|follow[ _-]?up)|复查|随访)?",
        "hours",
    ),
    (r"\bday[ _-]?(\d{1,2})\b", "days"),
    (rf"(?:\b|(?<=[\u4e00-\u9fff]))(?:{_FIRST})(?:\b|(?<=[\u4e00-\u9fff]))", "first"),
    (rf"(?:\b|(?<=[\u4e00-\u9fff]))(?:{_FOLLOW_UP})(?:\b|(?<=[\u4e00-\u9fff]))", "next"),
    (r"(?:[ _#.-]|(?<=[\u4e00-\u9fffa-z]))(\d{1,2})$", "number"),
)


_HEMATOMA = r"(?:hematoma|haematoma|hemorrhage|haemorrhage|ich|vol|volume|血肿)"
_GROWTH = r"(?:expan\w*|growth|grow|grew|enlarg\w*|increase\w*|change\w*|delta|difference|扩大|扩张|增大|增长|变化)"
_LATER_WORDS = re.compile(  # a value that is known only after the first scan
    r"\b(?:discharged?|disch)\b(?! printer)|\blos\b(?! angeles)|\blength of (?:\w+ )?stay\b"
    r"|\b(?:hospital|icu) (?:stay|days)\b|\bfollow[ -]?up\b|\boutcomes?\b|\bearly neurologic\w* deteriorat\w*"
    r"|\b(?:died|dead|deaths?|deceased|mortality|surviv\w*|expired|vital status|alive)\b|\brebleed\w*"
    r"|\b(?:number|no\.?|num|n) (?:of )?(?:ct|scan)s?\b(?! (?:slice|scanner)s?)|\b(?:ct|scan)s performed\b"
    r"|\blast (?:ct|scan)\b|\b(?:final|last|max|maximum) (?:hematoma |haematoma )?volume\b"
    r"|\b(?:mrs|rankin|gose?|barthel)\b.*\d ?(?:d|days?|m|mo|months?|w|weeks?|y|years?|tagen?)\b"
    r"|\b(?:mrs|rankin)\b.*\b(?:day|days|tag|entl)\b|\bfinal (?:mrs|rankin)\b"
    rf"|\b{_HEMATOMA}\b.*\b{_GROWTH}\b|\b{_GROWTH}\b.*\b{_HEMATOMA}\b|血肿.*(?:扩|增|变化)"
    rf"|^{_GROWTH}\W*(?:ml|%|percent)?\W*$"
    r"|entlassung|verstorben|gestorben|hamatomwachstum|volumenzunahme|nachblutung|verweildauer|liegedauer"
    r"|\bdeces\b|duree de sejour|fallecid|\bexitus\b|estancia|dimission|degenza"
    r"|出院|住院(?:天数|时间|日)|预后|随访|复查|死亡|转归|结局|末次|离院|再出血|[0-9三六]个?月.*(?:mrs|改良rankin)"
)
_HISTORY = re.compile(
    r"\b(?:history|hx|family|previous|prior|before|pre|past|predicted|parents?|last year)\b|既往|家族|病前|病?史$"
)

_UNIT_AT_END = (
    r"(.*?)[\s_]((?:mmol|mg|umol)[\s_/]d?l)",
    r"(.*?)(?:\s+in|[\s_,;:/])\s*([^\s_,;:]+(?:/[a-z]+)?)",
    r"(.*?)(毫升|小时|分钟)",
    r"(.*[\u4e00-\u9fff])([^\u4e00-\u9fff\s_]+)",
)


@dataclass(frozen=True)
class Header:
    """The content of a header text.

    Attributes:
        means: name of a known column; empty if none is recognized.
        exact: whether the text is the column's name or one of its synonyms, apart from unit and occasion.
        unit: our spelling; empty if the header names none.
        occasion: kind and number of the scan, such as ``("follow_up", 1)``; None if the header names none.
        is_bare: whether the text holds words for a scan and its number only, such as ``Repeat CT``.
        guess: of a text that is not recognized, a known column whose synonym it contains.
    """

    means: str = ""
    exact: bool = False
    unit: str = ""
    occasion: tuple[str, int] | None = None
    guess: str = ""
    is_bare: bool = False


def holds_text(text: str) -> bool:
    """Return whether the column of this header holds ids or serials, whose cells must stay text."""
    known = c.known_columns().get(read_header(text).means)
    return known is not None and known.kind in {"id", "serial"}


INVISIBLE = dict.fromkeys(  # control characters, characters of zero width, and of the direction of text
    code
    for first, last in ("\x00\x08", "\x0e\x1f", "\x7f\x84", "\x86\x9f", "\xad\xad", "\u200b\u200f", "\u202a\u202e",
                        "\u2060\u2069", "\ufeff\ufeff")
    for code in range(ord(first), ord(last) + 1)
)  # fmt: skip


def clean(text: str) -> str:
    """Return a text without differences of case, width and outer spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).replace("µ", "μ").lower().split())


def fold(text: str) -> str:
    """Return a clean text without accents."""
    letters = unicodedata.normalize("NFKD", clean(text).translate(_LIGATURES))
    return unicodedata.normalize("NFC", "".join(letter for letter in letters if not unicodedata.combining(letter)))


def squeeze(text: str) -> str:
    """Return a text for comparisons: its letters, without accents, and digits only."""
    return re.sub(r"[\W_]+", "", fold(text))


def _sort_words(text: str) -> str:
    """Return the words of a text without articles, in alphabetical order: volume of hematoma is hematoma volume."""
    return " ".join(sorted(set(re.split(r"[\W_]+", fold(text))) - _ARTICLES - {""}))


@cache
def synonyms() -> dict[str, str]:
    """Return the known column of every squeezed name, meaning, Chinese name and synonym."""
    found: dict[str, str] = {}
    for name, column in c.known_columns().items():
        for text in (name, column.meaning, column.chinese, *column.synonyms):
            found.setdefault(squeeze(text), name)
    return found


@cache
def _sorted_synonyms() -> dict[str, str]:
    """Return the known column of the sorted words of a synonym, where that is only one."""
    found: dict[str, set[str]] = {}
    for name, column in c.known_columns().items():
        for text in (name, column.meaning, *column.synonyms):
            found.setdefault(_sort_words(text), set()).add(name)
    return {words: min(names) for words, names in found.items() if len(names) == 1 and " " in words}


def read_unit(text: str) -> str:
    """Return our spelling of a unit; empty if it is not one."""
    return UNIT_OF.get(re.sub(r"[\s.·*×]", "", clean(text)).replace("³", "3").replace("⁻", "-"), "")


_FOREIGN_UNIT = re.compile(  # of another measurement, or one that is not converted
    r"\s*(?:[munkp]?(?:g|mol|iu|u|eq) ?/ ?[dmu]?l|[cd]l|m?g|[cm]m[2²]|%|(?:log|ln)(?:2|10)?(?: ?(?:ml|cm3|mm3))?"
    r"|ml ?/ ?kg|z[ -]?scores?|sd|categor(?:y|ies)|groups?|class|grade|score|rank|quartiles?|tertiles?|percentiles?"
    r"|ratio|slices?|voxels?|pixels?|(?:fl\.? ?)?oz|°? ?f|fahrenheit"
    r"|months?|weeks?|monate|wochen|mois|semaines|meses|semanas|mesi|settimane|月|周)\s*"
)


def _split_unit(text: str) -> tuple[str, str]:
    """Return the text without its unit, and the unit; other texts in parentheses are removed too."""
    unit = ""
    for inner in re.findall(r"[(\[{]([^)\]}]*)[)\]}]", text):
        unit = unit or next((found for part in re.split(r"[,;，]", inner) if (found := read_unit(part))), "")
        unit = unit or (inner.strip() if _FOREIGN_UNIT.fullmatch(inner) else "")
    rest = re.sub(r"[(\[{][^)\]}]*[)\]}]", " ", text).strip()
    if not unit:
        for pattern in _UNIT_AT_END:
            match = re.fullmatch(pattern, rest)
            found = read_unit(re.sub("[ _]", "/", match[2])) if match and match[1].strip() else ""
            if match and found and not (found in FACTORS["hours"] and re.search(r"(?<![a-z\d])\d+\W*$", match[1])):
                rest, unit = match[1], found  # 24 h is not a unit but the number of the scan
                break
    return rest.strip(" _,;:/-("), unit


def _find_occasion(
    text: str, patterns: Sequence[tuple[str, str]] = _OCCASIONS
) -> tuple[list[str], tuple[str, int] | None]:
    """Return the text without the words that number the scan, and the kind and number of the scan.

    Returns:
        Two texts: without all of these words, and without their numbers only (``ct1 date``: ``date``, ``ct date``).
    """
    text = text.replace("_", " ")
    occasion, kept = None, text
    for pattern, kind in patterns:
        match = re.search(pattern, text)
        if not match:
            continue
        if occasion is None:
            number = match[1] if match.groups() else "0"
            value = _NUMBERS.get(number) or _ORDINALS.get(number) or int(number)
            occasion = ("hours", 24 * value) if kind == "days" else (kind, value)
        text = f"{text[: match.start()]} {text[match.end() :]}"
        number = r"[\d#第一二三四五六七八九十次]+" if kind in {"number", "follow_up"} and match.groups() else ".+"
        if found := re.search(pattern, kept):
            kept = f"{kept[: found.start()]} {re.sub(number, '', found[0])} {kept[found.end() :]}"
    return [" ".join(each.split()).strip(" _,;:/-#") for each in (text, kept)], occasion


def read_header(text: str) -> Header:
    """Return what a header text says."""
    header = _read_header(text)
    name = header.means or header.guess
    is_duration = header.unit in FACTORS["hours"] and name in {"onset_time", "onset_date", "scan_time", "scan_date"}
    if is_duration and names_scan(text) and _ONSET_WORDS.search(fold(text)):
        return replace(header, means="hours_from_onset", exact=True, guess="")
    return header


def describe_later(text: str) -> str:
    """Return why a header names a value that is known only after the first scan; empty if it does not."""
    header, words = read_header(text), fold(_CAMEL_CASE.sub(" ", text)).replace("_", " ")
    known = c.known_columns().get(header.means)
    if known is not None and (known.known == "later" or known.name == "scan_count"):
        return f"it is the column {known.name}"
    kind, number = header.occasion or ("first", 0)
    is_later = kind in {"next", "follow_up"} or (kind == "hours" and number > 0)
    is_second = kind in {"number", "ordinal"} and number > 1 and header.unit not in {*FACTORS["hours"], "years"}
    if (is_later and (header.means or header.guess)) or (is_second and header.means):
        return "its header names a later time"
    match = None if _HISTORY.search(words) else _LATER_WORDS.search(words)
    return f"its header says {match[0].strip()!r}" if match else ""


def names_scan(text: str) -> bool:
    """Return whether a header text has a word for a scan."""
    return bool(_SCAN_WORDS.search(fold(_CAMEL_CASE.sub(" ", text)).replace("_", " ")))


def _read_header(text: str) -> Header:
    text = _CAMEL_CASE.sub(" ", text)
    text = _LEGEND.sub("", fold(text)).strip()
    rest, unit = _split_unit(re.sub(r"\(\s*time\s*\)", "time", _DATE_AND_TIME.sub("time", text.replace("_", " "))))
    if period := _PERIOD.match(rest):
        unit, period_text = read_unit(period[1]), f"time {rest[period.start(2) :]}"
    else:
        period_text = rest
    if found := _look_up(text, rest, period_text):
        return Header(found, True, unit)
    if _SUM.search(text):
        return Header(guess="HM_volume", unit=unit, occasion=_find_occasion(period_text)[1])
    without, occasion = _find_occasion(period_text)
    if occasion is None:  # V (CT1) [cm³]
        _, occasion = _find_occasion(re.sub(r"[(){}\[\]]", " ", text), _OCCASIONS[:-1])
    if occasion is not None:
        split = [_split_unit(each) for each in without]
        unit = unit or split[0][1]
        without = [each for each, _ in split]
        if found := _look_up(*without, *map(_without_fillers, without), *map(_without_time, without)):
            return Header(found, True, unit, occasion)
    if found := _look_up(_without_fillers(rest), _without_time(rest)):
        return Header(found, True, unit)
    is_bare = set(re.split(r"[\s_/.,;:-]+", without[0])) <= {*_FILLERS.split(), *_TIME_NAMES, ""}
    if is_bare and (occasion is not None or names_scan(text)):
        return Header(guess="scan_time", unit=unit, occasion=occasion, is_bare=names_scan(text))
    squeezed, chinese = squeeze(without[0]), r"[\u4e00-\u9fff]"
    inside = [key for key in synonyms() if len(key) >= (3 if re.search(chinese, key) else 5) and key in squeezed]
    guess = synonyms()[max(inside, key=len)] if inside else ""
    return Header(guess=guess, unit=unit, occasion=occasion)


def _look_up(*texts: str) -> str:
    """Return the known column of the first text that is a name or a synonym; empty if none is."""
    found = (synonyms().get(squeeze(text)) or _sorted_synonyms().get(_sort_words(text)) for text in texts)
    return next(filter(None, found), "")


def _without_time(text: str) -> str:
    """Return ``last known well`` for ``last known well time``, because the cells hold the time; else an empty text."""
    rest = re.sub(r"\btime\b", "", text)
    names = synonyms().get(squeeze(rest), "") or _sorted_synonyms().get(_sort_words(rest), "")
    return rest if names in {"onset_time", "scan_time"} else ""


def _without_fillers(text: str) -> str:
    if re.search(r"[\u4e00-\u9fff]", text):
        return re.sub(_CHINESE_FILLERS, "", text) or text
    words = re.split(r"[\s_/.,;:'’-]+", text)
    return " ".join(word for word in words if word not in _FILLERS.split()) or text
