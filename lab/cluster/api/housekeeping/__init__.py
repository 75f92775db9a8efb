"""What a cluster does by itself with objects that nobody needs any more.

A real cluster has this in its controller manager; here it lives with the storage, so that there is nothing to poll.
"""
