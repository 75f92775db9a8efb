"""What tests and benchmarks share: running labs, clusters and databases, and the flows without Prefect's engine.

It knows the product and the lab; neither knows it. Tests and benchmarks do not know each other.
"""
