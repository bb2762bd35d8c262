"""Reports for users: the comparison of a board's log with the reference, the report of a model."""
