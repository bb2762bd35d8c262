"""The faster kernels: when one computes a call, and what it needs from the exporter."""
