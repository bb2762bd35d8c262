"""What people look at: the log of a board against the reference, the report of a model."""
