"""What the Azure provider accepts in a SecretProviderClass, and its words for the rest."""

import pytest

from lab.cluster.csi.parameters import ProviderError, VaultObject, parse

GOOD = {
    "keyvaultName": "dexterkeyvault",
    "tenantID": "72f988bf",
    "clientID": "6a4d4a5e",
    "objects": "array:\n  - |\n    objectName: username\n    objectType: secret\n",
}


def objects(*lines: str) -> dict[str, str]:
    return GOOD | {"objects": "array:\n  - |\n" + "".join(f"    {line}\n" for line in lines)}


def test_the_walkthroughs_parameters_are_understood() -> None:
    found = parse(GOOD | {"usePodIdentity": "false", "cloudName": ""})
    assert (found.vault, found.tenant_id, found.client_id) == ("dexterkeyvault", "72f988bf", "6a4d4a5e")
    assert found.objects == (VaultObject("username", "secret"),)


def test_the_tenant_may_be_written_the_old_way() -> None:
    assert parse({**GOOD, "tenantID": "", "tenantId": "old"}).tenant_id == "old"


def test_alias_version_encoding_and_permission_are_read() -> None:
    lines = ("objectName: n", "objectType: secret", "objectAlias: sub/a", "objectVersion: v1", 'filePermission: "0400"')
    (found,) = parse(objects(*lines, "objectEncoding: base64")).objects
    assert (found.file_name, found.version, found.permission, found.uid) == ("sub/a", "v1", 0o400, "secret/n")


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "keyvaultName is not provided"),
        ({"keyvaultName": "kv"}, "tenantId is not provided"),
        (GOOD | {"objects": ""}, "objects is not set"),
        (
            GOOD | {"cloudName": "Moon"},
            "cloudName Moon is not valid, error: autorest/azure: There is no cloud environment matching the name "
            '"MOON"',
        ),
        (
            GOOD | {"clientID": ""},
            "failed to build auth config for mode None: failed to get credentials, nodePublishSecretRef secret is not "
            "set",
        ),
        (
            GOOD | {"clientID": "", "objects": ""},
            "failed to build auth config for mode None: ",
        ),
        (
            GOOD | {"keyvaultName": "no"},
            'failed to get vault: Invalid vault name: "no", must match [-a-zA-Z0-9]{3,24}',
        ),
        (
            GOOD | {"usePodIdentity": "maybe"},
            'failed to parse usePodIdentity flag, error: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (
            GOOD | {"usePodIdentity": "true", "useVMManagedIdentity": "true"},
            "only one identity mode can be enabled at a time: usePodIdentity, useVMManagedIdentity, or "
            "useAzureTokenProxy",
        ),
        (objects("objectName: n", "objectType: secret", "objectFormat: jks"), "invalid objectFormat: jks"),
        (objects("objectName: n", "objectType: secret", "objectEncoding: rot13"), "invalid objectEncoding: rot13"),
        (objects("objectName: n", "objectType: key", "objectEncoding: hex"), "objectEncoding only supported for"),
        (objects("objectName: n", "objectType: secret", "objectAlias: ../x"), "file name must be a relative path"),
    ],
)
def test_what_is_wrong_is_told_in_the_providers_words(parameters: dict[str, str], text: str) -> None:
    with pytest.raises(ProviderError) as refused:
        parse(parameters)
    assert str(refused.value).startswith(text)


@pytest.mark.parametrize("text", ["array: [", "nothing", "array: 3"])
def test_objects_that_are_no_list_are_refused(text: str) -> None:
    with pytest.raises(ProviderError, match="failed to yaml unmarshal objects, error: "):
        parse(GOOD | {"objects": text})
