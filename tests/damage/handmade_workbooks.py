"""Hand-made damage of the parts of a workbook that a screen does not show."""

import re

import openpyxl
from damage.folder import Change, Folder, Grid
from damage.handmade_tools import CLINICAL, INDEX, VOLUMES, at, edit_book, edit_part, find, kind
from damage.redundancy import ONE_VALUE
from openpyxl.comments import Comment
from openpyxl.styles import Font, PatternFill
from openpyxl.workbook.defined_name import DefinedName


@kind("published", "the workbook counts days from 1904")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    edit_part(folder, file, r"xl/workbook\.xml", lambda text: text.replace("<workbookPr", '<workbookPr date1904="1"'))
    return [folder.change(file, sheet, columns=[j for j, text in enumerate(grid.header) if "时间点" in str(text)])]


@kind("published", "formulas that hold their values")
def _(folder: Folder) -> list[Change]:
    file, *_ = find(folder, VOLUMES)
    pattern = r'<c r="([A-Z]+\d+)"( s="\d+")?><v>([\d.]+)</v></c>'
    formula = r'<c r="\1"\2><f>1*\3</f><v>\3</v></c>'
    return edit_part(folder, file, r"xl/worksheets/.*", lambda text: re.sub(pattern, formula, text))


@kind("published", "formulas with an old value of another cell")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    j = at(grid, "HM_volume")
    change = folder.change(file, sheet, [3], [j])
    old, grid.rows[3][j] = grid.rows[3][j], grid.rows[4][j] * 20
    change.unknowable = "" if grid.rows[3][j] > 8 * old else ONE_VALUE
    return [change]


@kind("published", "a protected sheet")
def _(folder: Folder) -> list[Change]:
    return edit_book(folder, find(folder, VOLUMES)[0], lambda book: book.active.protection.enable())


@kind("published", "notes at cells")
def _(folder: Folder) -> list[Change]:
    def edit(book: openpyxl.Workbook) -> None:
        for row in (1, 2, 3):
            book.active.cell(row, 1).comment = Comment("excluded?", "reader")

    return edit_book(folder, find(folder, CLINICAL)[0], edit)


@kind("published", "rows that are struck through and gray")
def _(folder: Folder) -> list[Change]:
    def edit(book: openpyxl.Workbook) -> None:
        for cell in book.active[5]:
            cell.font, cell.fill = Font(strike=True), PatternFill("solid", fgColor="888888")

    return edit_book(folder, find(folder, CLINICAL)[0], edit)


@kind("published", "defined names and a link to another workbook")
def _(folder: Folder) -> list[Change]:
    def edit(book: openpyxl.Workbook) -> None:
        book.defined_names["Old"] = DefinedName("Old", attr_text="'[C:\\old.xlsx]Data'!$A$1", hidden=True)

    return edit_book(folder, find(folder, VOLUMES)[0], edit)


@kind("published", "a chart sheet in front")
def _(folder: Folder) -> list[Change]:
    return edit_book(folder, find(folder, VOLUMES)[0], lambda book: book.create_chartsheet("Chart", 0))


@kind("published", "an older copy in a very hidden sheet in front")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, VOLUMES)
    old = Grid([list(row) for row in grid.rows])
    for row in old.rows[1:]:
        row[at(grid, "HM_volume")] *= 2
    folder.books[file].sheets = {"Old": old, sheet: grid}

    def edit(book: openpyxl.Workbook) -> None:
        book.active = 1
        book["Old"].sheet_state = "veryHidden"

    edit_book(folder, file, edit)
    return [Change(file, "Old")]


@kind("published", "a workbook without its styles")
def _(folder: Folder) -> list[Change]:
    file, sheet, grid = find(folder, INDEX)
    edit_part(folder, file, r"xl/styles\.xml", lambda text: re.sub(r"<numFmts.*?</numFmts>|numFmtId=\"\d+\"", "", text))
    return [folder.change(file, sheet, columns=[j for j, text in enumerate(grid.header) if "时间点" in str(text)])]


@kind("published", "a dimension that names one cell")
def _(folder: Folder) -> list[Change]:
    file = find(folder, VOLUMES)[0]
    return edit_part(
        folder, file, r"xl/worksheets/.*", lambda text: re.sub(r'<dimension ref="[^"]*"', '<dimension ref="A1"', text)
    )


@kind("published", "a dimension of the whole sheet")
def _(folder: Folder) -> list[Change]:
    file = find(folder, VOLUMES)[0]
    return edit_part(
        folder,
        file,
        r"xl/worksheets/.*",
        lambda text: re.sub(r'<dimension ref="[^"]*"', '<dimension ref="A1:XFD1048576"', text),
    )


@kind("published", "cells without an address")
def _(folder: Folder) -> list[Change]:
    file = find(folder, CLINICAL)[0]
    return edit_part(folder, file, r"xl/worksheets/.*", lambda text: re.sub(r'<(c|row) r="[^"]*"', r"<\1", text))


@kind("published", "shared texts that are gone")
def _(folder: Folder) -> list[Change]:
    file = find(folder, CLINICAL)[0]
    return edit_part(folder, file, r"xl/sharedStrings\.xml", lambda text: re.sub(r"<si>.*</si>", "", text))


@kind("published", "texts with pronunciation marks and several fonts")
def _(folder: Folder) -> list[Change]:
    file = find(folder, CLINICAL)[0]
    rich = r'<si><r><t>\1</t></r><rPh sb="0" eb="1"><t>zz</t></rPh></si>'
    return edit_part(
        folder, file, r"xl/sharedStrings\.xml", lambda text: re.sub(r"<si><t>([^<]*)</t></si>", rich, text)
    )


@kind("published", "a filter that hides rows")
def _(folder: Folder) -> list[Change]:
    def edit(book: openpyxl.Workbook) -> None:
        book.active.auto_filter.ref = book.active.dimensions
        for row in range(5, 12):
            book.active.row_dimensions[row].hidden = True

    return edit_book(folder, find(folder, CLINICAL)[0], edit)


@kind("published", "collapsed groups of columns")
def _(folder: Folder) -> list[Change]:
    return edit_book(
        folder, find(folder, VOLUMES)[0], lambda book: book.active.column_dimensions.group("C", "H", hidden=True)
    )


@kind("published", "ratios shown as percent")
def _(folder: Folder) -> list[Change]:
    def edit(book: openpyxl.Workbook) -> None:
        for row in range(2, 20):
            book.active.cell(row, 4).number_format = "0%"

    return edit_book(folder, find(folder, VOLUMES)[0], edit)


for _number, _form in enumerate(
    ['yyyy"年"m"月"d"日" h"时"mm"分"', "[$-409]d\\-mmm\\-yy h:mm AM/PM;@", "General", "0.00", '"on "dd/mm/yyyy', "@"]
):

    @kind("published", f"times in the number format {_form}")
    def _(folder: Folder, form: str = _form) -> list[Change]:
        file, sheet, _grid = find(folder, INDEX)

        def edit(book: openpyxl.Workbook) -> None:
            for row in range(2, 12):
                book.active.cell(row, 3).number_format = form

        edit_book(folder, file, edit)
        return [folder.change(file, sheet, list(range(1, 11)), [2])]
