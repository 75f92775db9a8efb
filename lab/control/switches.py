"""The lab's named faults. Standard library alone: the command line starts fast."""

SWITCHES = {
    "api-server-down": "the cluster's API server cuts every connection",
    "azure-clock-ahead": "Azure's clock is a minute ahead of everybody else's",
    "azure-clock-behind": "Azure's clock is a minute behind everybody else's",
    "database-down": "the databases take no connections",
    "pods-not-starting": "new pods do not start",
    "secrets-deleted-slowly": "deleting a secret of a vault takes two seconds, and purging it as long again",
    "secrets-need-content-type": "Azure Policy denies secrets without a content type",
    "secrets-need-expiry": "Azure Policy denies secrets without an expiration date",
    "secrets-valid-90-days": "Azure Policy denies secrets that are valid for more than 90 days",
    "server-password-fails": "a Flexible Server's operation ends as Failed after the new password took effect",
    "server-password-late": "a Flexible Server's new password takes effect seconds after its operation succeeded",
    "sync-paused": "the CSI driver does not look for new versions",
    "tokens-short-lived": "new access tokens expire after five seconds",
    "watches-expired": "at the moment that it is switched on, every watch of the API server ends with 410 Gone",
}
