"""Open files as tables.

- `files` finds the files and opens each by its content; `workbook` (with `workbook_xml`), `text_file` and `parquet`
  read one kind each.
- `table` finds the row of headers; `sheet` is a table with the address of every cell.
"""
