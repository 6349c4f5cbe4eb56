"""From a hospital's files to one table of scans.

The flow is files → mapping → cells → scans:

- `files` opens workbooks, text files and Parquet as sheets (`sheet`), with what a user may not see in them. `table`
  finds the header row; `workbook`, `text_file`, `arrow_columns` and `parquet` read one kind of file each.
- `mapping` says which column holds what. `match` guesses it from the headers (`headers`) and the values, and asks where
  a guess is not safe. `published` says what the published layout must hold.
- `cells` converts the cells of a column to numbers, codes, times (`dates`) and ids; `records` converts a table.
- `assemble` links the tables and works out what is missing: scan order, serials and hours.
"""
