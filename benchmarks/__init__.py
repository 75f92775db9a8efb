"""How fast the product and the lab are: `python -m benchmarks`, or a module of it alone."""
