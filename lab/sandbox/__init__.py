"""Commands in a world of their own: namespaces, mounts, loopback addresses, and the virtual machines made of them."""
