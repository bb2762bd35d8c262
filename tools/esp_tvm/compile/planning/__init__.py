"""What runs together, on which core, and where it lies in memory."""
