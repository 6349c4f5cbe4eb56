"""The page of a validation in new patients."""
