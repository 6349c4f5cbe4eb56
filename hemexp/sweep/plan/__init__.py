"""Plan a sweep: compose and check every job before the first one starts."""
