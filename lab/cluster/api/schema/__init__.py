"""The shape of objects: what fields there are, how lists merge, and how that is published."""
