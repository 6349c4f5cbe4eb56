"""The metrics that score predictions: the table of the standard ones, and metrics that a user adds."""
