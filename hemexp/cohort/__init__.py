"""The cohort: files, tables, labels and findings."""
