"""Garbage collection: what a cluster removes by itself when an owner or a namespace goes.

A real cluster has this in its controller manager; here it lives with the storage, so that there is nothing to poll.
"""
