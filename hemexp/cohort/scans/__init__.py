"""One table of scans from several tables.

- `records` converts the columns of a table by its mapping.
- `assemble` links the tables and works out missing scan numbers, serials and hours.
- `published` checks that the published workbooks and ``scans.csv`` are complete.
"""
