"""What the tasks stand on: settings, errors, credentials, the pure cores and the adapters. No Prefect here."""
