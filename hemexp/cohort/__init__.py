"""The cohort: from a hospital's files to checked tables and labels.

The flow is files → tables → labels → findings and table one:

- files: `reading` makes one table of scans from any files; `synthetic` writes workbooks of simulated patients
  (`population`), and `template` blank workbooks.
- tables: `load` reads a cohort, `checks` checks it; `columns` and ``columns.yaml`` are the data dictionary.
- labels: `labels` says which patients had the outcome; `find_column` finds a column that the user names.
- findings: `findings` collects errors and warnings, each with its cell.
- table one: `table_one` describes the patients by outcome.
"""
