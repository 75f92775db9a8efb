"""Who asks, and what they may: tokens, authentication, RBAC."""
