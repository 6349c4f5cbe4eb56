"""A run's directory as one page that a clinician can read."""
