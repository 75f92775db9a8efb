"""The core of provisioning, pure: what is wanted, what was observed, and the plan between them."""
