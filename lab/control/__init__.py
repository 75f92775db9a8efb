"""The lab as a whole: its daemon, state folder, options, environment, faults and the API that controls them."""
