"""Pages about a run and about a sweep, for clinicians."""
