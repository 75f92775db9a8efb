"""The walkthrough's manifests in tests, and what fills them in, as the walkthrough names it."""

from testing.labs import ROOT

FOLDER = ROOT / "manifests" / "walkthrough"
VALUES = {
    "NAMESPACE": "dexter",
    "SERVICE_ACCOUNT": "dexter-sa",
    "CLIENT_ID": "11111111-0000-4000-8000-000000000001",
    "TENANT_ID": "22222222-0000-4000-8000-000000000002",
    "VAULT": "dexterkeyvault",
    "USERNAME_SECRET": "username",
    "PASSWORD_SECRET": "password",
    "CLOUD": "AzurePublicCloud",
    "BLOB_DOMAIN": "blob.core.windows.net",
    "GET_STORAGE_IMAGE": "get-storage:1",
}
