"""`python -m esp_tvm` is the command esp-tvm."""

from .cli import entry

if __name__ == "__main__":
    entry()
