"""The local Azure: a CONNECT proxy in front of Entra ID, IMDS, ARM, Key Vault and blobs, under one throw-away CA."""
