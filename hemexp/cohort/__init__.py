"""The cohort: from a hospital's files to checked tables and labels.

The flow is files → tables → labels → findings and table one:

- files: `workbook` and `workbook_tables` read the published workbooks (`sheet`, `cells`) and `merge` joins them;
  `tidy` reads scans.csv; `synthetic` writes workbooks of simulated patients (`population`).
- tables: `load` reads a cohort, `checks` checks it; `columns` holds the column names.
- labels: `labels` says which patients had hematoma expansion.
- findings: `findings` collects errors and warnings, each with its cell.
- table one: `table_one` describes the patients by outcome.
"""
