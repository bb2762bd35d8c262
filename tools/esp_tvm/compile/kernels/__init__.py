"""The faster kernels: the calls they can compute, and the data they need from the exporter."""
