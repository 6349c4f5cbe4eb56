"""The cohort: from a hospital's files to checked scans and labels.

The flow is files → tables → mapping → cells → scans → labels:

- files: any workbook, text file or Parquet. `synthetic` writes workbooks of simulated patients (`population`), and
  `template` writes blank workbooks.
- tables: `tables` opens the files; each table has a row of headers and the address of every cell.
- mapping: `headers` reads a header text, `columns` and ``columns.yaml`` are the data dictionary, `mapping` decides
  which column holds what.
- cells: `cells` converts the cells of a column.
- scans: `scans` links the tables, `checks` checks the result, and `load` does all of this.
- labels: `labels` says which patients had the outcome; `find_column` finds a column that the user names.

`findings` collects errors and warnings, each with its cell. `table_one` describes the patients by outcome.
"""
