"""The core of a rotation, pure: observation -> plan -> steps. No I/O, no Prefect, no Azure, no clock of its own."""
