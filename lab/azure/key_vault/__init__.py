"""Key Vault's data plane for secrets: `vault` and `store` keep them, `http` answers, `limits` throttles."""
