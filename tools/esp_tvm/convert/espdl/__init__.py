"""Models of ESP-DL (`.espdl`), read by a description of their format of our own."""
