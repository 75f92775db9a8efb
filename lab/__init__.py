"""A local Azure and a local cluster, reached through the environment alone.

Imports none of the product's adapters, and none of them imports it.
"""
