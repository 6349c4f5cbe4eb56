"""Plan a sweep: its jobs, composed and checked before the first one starts."""
