"""The core of the fleet: what is due, what starts now, and what an audit finds. Pure."""
