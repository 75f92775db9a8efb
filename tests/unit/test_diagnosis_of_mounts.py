"""What the texts of failed mounts mean; the texts are those of kubelet, driver and provider."""

import pytest
from pod_states import event, pod

from infra.kubernetes.diagnosis import diagnose
from infra.kubernetes.mount_failures import Level

VOLUME = 'MountVolume.SetUp failed for volume "postgresql-store" : rpc error: code = Unknown desc = '
MOUNT = VOLUME + "failed to mount secrets store objects for pod dexter/db-1, err: "
PROVIDER = MOUNT + "rpc error: code = Unknown desc = failed to mount objects, error: "
SECRET = PROVIDER + "failed to get objectType:secret, objectName:username, objectVersion:: "
PINNED = SECRET.replace("objectVersion::", "objectVersion:0a1b2c3d:")
CLIENT = 'MountVolume.SetUp failed for volume "v" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: '
TOKEN = SECRET + "WorkloadIdentityCredential authentication failed. POST https://login.microsoftonline.com/t/token "
VAULT = SECRET + "GET https://dexterkeyvault.vault.azure.net/secrets/username/ RESPONSE 403: ERROR CODE: "

WARNINGS = {
    TOKEN + "AADSTS700211: No matching federated identity record found for issuer": "AADSTS700211",
    TOKEN + "AADSTS700212: No matching federated identity record found for audience": "AADSTS700212",
    TOKEN + "AADSTS700213: No matching federated identity record found for subject": "AADSTS700213",
    TOKEN + "AADSTS7002138: The subject matches except for its case": "AADSTS7002138",
    TOKEN + "AADSTS70021: No matching federated identity record found": "AADSTS70021",
    TOKEN + "AADSTS90061: Request to External OIDC endpoint failed": "AADSTS90061",
    TOKEN + "AADSTS50000: something else": "AADSTS50000",
    VAULT + "Forbidden {innererror: {code: ForbiddenByRbac}}": "ForbiddenByRbac",
    SECRET + "dial tcp: lookup nosuch.vault.azure.net on 10.0.0.10:53: no such host": "VaultNotFound",
    MOUNT + 'error connecting to provider "azure": provider not found: provider "azure"': "ProviderMissing",
    CLIENT + "driver name secrets-store.csi.k8s.io not found in the list of registered CSI drivers": "DriverMissing",
    SECRET + "RESPONSE 429: 429 Too Many Requests ERROR CODE: Throttled": "Throttled",
    MOUNT + "something that nobody has seen before": "FailedMount",
}
ERRORS = {
    TOKEN + "AADSTS700016: Application with identifier 'x' was not found in the directory": "AADSTS700016",
    VAULT + "Forbidden {innererror: {code: ForbiddenByFirewall}}": "ForbiddenByFirewall",
    VAULT + "Operation get is not allowed on a disabled secret.": "SecretDisabled",
    PINNED + "RESPONSE 403: ERROR CODE: Forbidden Operation get is not allowed on a disabled secret. "
    '{"innererror": {"code": "SecretDisabled"}}': "PinnedVersionDisabled",
    SECRET + "RESPONSE 404: ERROR CODE: SecretNotFound A secret with (name/id) x was not found": "SecretNotFound",
    PROVIDER + 'failed to get vault: Invalid vault name: "x", must match [-a-zA-Z0-9]{3,24}': "InvalidVaultName",
    PROVIDER + "keyvaultName is not provided": "InvalidVaultName",
    PROVIDER + "tenantId is not provided": "InvalidProviderClass",
    PROVIDER + "objects is not set": "InvalidProviderClass",
    PROVIDER + "failed to yaml unmarshal objects, error: yaml: line 2": "InvalidProviderClass",
    PROVIDER + "cloudName Mars is not valid": "InvalidProviderClass",
    PROVIDER + "failed to build auth config for mode None: clientID is empty": "NoIdentity",
    VOLUME + 'failed to get secretproviderclass dexter/s, error: SecretProviderClass "s" not found': (
        "ProviderClassNotFound"
    ),
    VOLUME + "provider not set in dexter/spc": "InvalidProviderClass",
}
CASES = [(text, Level.WARNING, code) for text, code in WARNINGS.items()]
CASES += [(text, Level.ERROR, code) for text, code in ERRORS.items()]


@pytest.mark.parametrize(("message", "level", "code"), CASES)
def test_a_failed_mount_is_explained_by_its_text(message: str, level: Level, code: str) -> None:
    [found] = diagnose([pod()], [event("FailedMount", message)])
    assert (found.level, found.code) == (level, code)
    assert found.summary
    assert found.fix


def test_a_pinned_version_that_is_disabled_is_not_told_as_the_newest() -> None:
    text = f"{PINNED}GET https://v.vault.azure.net/secrets/username/0a1b2c3d\n--\nERROR CODE: SecretDisabled"
    [pinned], [newest] = (
        diagnose([pod()], [event("FailedMount", message)]) for message in (text, text.replace(":0a1b2c3d:", "::"))
    )
    assert pinned.summary == "The version of the secret that the SecretProviderClass names is disabled"
    assert "objectVersion" in pinned.fix
    assert newest.summary == "The newest version of the secret is disabled"


def test_the_detail_is_the_cause_without_its_wrappers() -> None:
    [found] = diagnose([pod()], [event("FailedMount", PROVIDER + "keyvaultName is not provided")])
    assert found.detail == "failed to mount objects, error: keyvaultName is not provided"


def test_the_last_failure_counts_when_the_cause_has_changed() -> None:
    events = [
        event("FailedMount", VAULT + "ForbiddenByRbac", at="2026-01-01T00:00:02Z"),
        event("FailedMount", TOKEN + "AADSTS700213: subject", at="2026-01-01T00:00:01Z"),
    ]
    assert [found.code for found in diagnose([pod()], events)] == ["ForbiddenByRbac"]


def test_a_very_long_text_keeps_its_beginning_and_its_end() -> None:
    [found] = diagnose([pod()], [event("FailedMount", MOUNT + "begin " + "x" * 5000 + " end")])
    assert len(found.detail) < 800
    assert found.detail.endswith(" end")
