"""The commands of `python -m lab`, and the tools that it brings to machines without them."""
