"""What a fleet is looked at with, and how its rotations are started: the vaults' properties, and Prefect's runs."""
