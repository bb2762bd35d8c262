"""A structured fuzzer of the whole pipeline: `make fuzz`; `python -m fuzz --help` in tests/ tells its options."""
