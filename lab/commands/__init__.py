"""What `python -m lab run` and `faults` do, and the tools that the lab brings along: kubectl, psql, jq and curl."""
