"""The kinds that are served: their names, defaults and rules."""
