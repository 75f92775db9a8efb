"""What the tasks stand on: settings, errors, targets, the pure cores, the adapters and the lab. No Prefect here."""
