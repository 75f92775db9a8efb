"""One lab as a whole: its daemon, options, state folder, network, certificates, environment, faults and control API."""
