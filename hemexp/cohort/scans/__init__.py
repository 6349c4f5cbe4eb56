"""One table of scans from several tables.

- `read_records` converts a table to `records`: `rows` finds the rows of patients, `convert` converts the columns, and
  `stack` puts scans that stand side by side below each other.
- `assemble` links the tables and works out missing scan numbers, serials and hours.
- `published` checks that the published workbooks and ``scans.csv`` are complete.
"""
