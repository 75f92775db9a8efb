"""The real `az` against the lab: the walkthrough's own lines, unchanged, and what else one would type.

`make test-az` installs azure-cli into a virtual environment of its own and runs these tests with it.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lab.control import lifecycle
from testing.labs import RunningLab, make_state_folder
from tests.raw_azure import SERVER, provision

AZ = os.environ.get("KEYTURN_TEST_AZ", "")
"""The folder that holds `az`."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not AZ, reason="KEYTURN_TEST_AZ names no folder with az: run make test-az"),
]
WALKTHROUGH = [
    (
        "az identity federated-credential create --name aksfederatedidentity --identity-name id-aks-uai "
        "--resource-group integrateakskv-rg --issuer `az aks show --resource-group integrateakskv-rg --name "
        'integrateakskv-cluster --query "oidcIssuerProfile.issuerUrl" -o tsv` --subject '
        "system:serviceaccount:dexter:dexter-sa",
        '"subject": "system:serviceaccount:dexter:dexter-sa"',
    ),
    ("az identity show -g integrateakskv-rg --name id-aks-uai --query 'clientId' -o tsv", "CLIENT"),
    ("az identity show -g integrateakskv-rg --name id-aks-uai --query 'tenantId' -o tsv", "TENANT"),
]
POSTGRES = f"postgres flexible-server {{}} -g integrateakskv-rg --server-name {SERVER}"
VAULT, STORE = "--vault-name dexterkeyvault", "--account-name integrateakskvtachotacho --auth-mode login"
READS: list[tuple[str, Any]] = [
    ("account show --query state", "Enabled"),
    ("group show -n integrateakskv-rg --query location", "eastus2"),
    ("provider show -n Microsoft.KeyVault --query registrationState", "Registered"),
    ("identity federated-credential list -g integrateakskv-rg --identity-name id-aks-uai --query [].name",
     ["aksfederatedidentity"]),
    ("aks show -g integrateakskv-rg -n integrateakskv-cluster --query provisioningState", "Succeeded"),
    ("aks get-versions -l eastus2 --query values[?isDefault].version", ["1.34"]),
    ("aks nodepool list -g integrateakskv-rg --cluster-name integrateakskv-cluster --query [].mode", ["System"]),
    ("vm list -d --query [].powerState", ["VM running"]),
    ("vm show -g integrateakskv-rg -n AzureVM-Server -d --query powerState", "VM running"),
    ("vm get-instance-view -g integrateakskv-rg -n AzureVM-Server --query instanceView.statuses[].code",
     ["ProvisioningState/succeeded", "PowerState/running"]),
    ("network nic list -g integrateakskv-rg --query [].virtualMachine.resourceGroup", ["integrateakskv-rg"]),
    ("network vnet list --query [].subnets[].addressPrefix", ["10.0.0.0/24"]),
    ("network public-ip list --query [].name", []),
    (f"postgres flexible-server show -g integrateakskv-rg -n {SERVER} --query state", "Ready"),
    (POSTGRES.format("parameter show") + " --name password_encryption --query value", "scram-sha-256"),
    (POSTGRES.format("parameter list") + ' --query "[?name==\'require_secure_transport\'].value"', ["on"]),
    (POSTGRES.format("db list") + ' --query "[?name==\'postgres\'].charset"', ["UTF8"]),
    ("role definition list --name 'Key Vault Secrets User' --query [].roleType", ["BuiltInRole"]),
    ("role assignment list --assignee $AZURE_CLIENT_ID --query [].roleDefinitionName", ["Owner"]),
    ("ad sp show --id $AZURE_CLIENT_ID --query displayName", "keyturn-operator"),
    ("keyvault list --query [].name", ["dexterkeyvault"]),
    ("keyvault show -n dexterkeyvault --query properties.enableRbacAuthorization", True),
    ("keyvault list-deleted", []),
    (f"keyvault secret show {VAULT} -n username --query value", "dexter"),
    (f"keyvault secret list {VAULT} --query [].name", ["password", "username"]),
    ("storage account show -n integrateakskvtachotacho --query kind", "StorageV2"),
    ("storage account check-name --name integrateakskvtachotacho --query nameAvailable", False),
    (f"storage container list {STORE} --query [].name", ["dexter"]),
    (f"storage blob list {STORE} -c dexter --query [].name", ["demo.txt"]),
    ("resource list -g integrateakskv-rg --query 'length(@)'", 8),
]  # fmt: skip
WRITES: list[tuple[str, Any]] = [
    ("provider register -n Microsoft.KeyVault --wait", None),
    ("network nsg create -g integrateakskv-rg -n nsg --query NewNSG.defaultSecurityRules[0].name", "AllowVnetInBound"),
    (f"keyvault secret set {VAULT} -n other --value x --query name", "other"),
    (f"keyvault secret backup {VAULT} -n other -f $AZURE_CONFIG_DIR/other.bak", None),
    (f"keyvault secret set-attributes {VAULT} -n other --tags owner=team --query tags.owner", "team"),
    (f"keyvault secret delete {VAULT} -n other --query name", "other"),
    (f"postgres flexible-server update -g integrateakskv-rg -n {SERVER} --admin-password Canary-2 --query state",
     "Ready"),
    ("vm run-command invoke -g integrateakskv-rg -n AzureVM-Server --command-id RunShellScript --scripts 'echo hello'"
     " --query 'contains(value[0].message, `hello`)'", True),
]  # fmt: skip
REFUSED = [
    ("network public-ip create -g integrateakskv-rg -n basic --sku Basic", "IPv4BasicSkuPublicIpCountLimitReached"),
    ("network public-ip create -g integrateakskv-rg -n ip --sku Standard --allocation-method Dynamic",
     "StandardSkuPublicIPAddressesMustBeStatic"),
    ("aks create -g integrateakskv-rg -n old --kubernetes-version 1.12 --node-vm-size Standard_D2s_v5 --no-ssh-key",
     "K8sVersionNotSupported"),
    ("storage account create -g integrateakskv-rg -n anotheraccount -l eastus2 --sku Premium_LRS --kind BlobStorage",
     "InvalidValuesForRequestParameters"),
    ("rest --method get --url /subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/a?api-version=2099-01-01",
     "InvalidApiVersionParameter"),
    ("keyvault create -g integrateakskv-rg -n dexterkeyvault -l eastus2", "already"),
]  # fmt: skip
Az = Callable[[str], CompletedProcess[str]]


@pytest.fixture(scope="module")
def stack() -> Iterator[tuple[RunningLab, dict[str, str]]]:
    """A lab with the walkthrough's resources, and what they are called by."""
    options = lifecycle.StartOptions(state=make_state_folder(), operation_seconds=0.05)
    with pytest.MonkeyPatch.context() as patch, lifecycle.attached(options) as info:
        lab = RunningLab(options, info)
        for name, value in lab.env.items():
            patch.setenv(name, value)
        made = provision(lab.env, everything=True)
        yield lab, {"CLIENT": made.client_id, "TENANT": made.tenant_id}


@pytest.fixture(scope="module")
def az(stack: tuple[RunningLab, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Az:
    """Runs a line of a shell in the lab, signed in as the operator."""
    lab, home = stack[0], tmp_path_factory.mktemp("az")
    env = {"AZURE_CONFIG_DIR": str(home), "AZURE_CORE_COLLECT_TELEMETRY": "false", "AZURE_CORE_NO_COLOR": "true"}

    def run(line: str) -> CompletedProcess[str]:
        return lab.run(["bash", "-c", f'PATH="{Path(AZ).absolute()}:$PATH"; {line}'], env=env, timeout_seconds=120)

    signed_in = run(
        "az login --service-principal -u $AZURE_CLIENT_ID --password=$AZURE_CLIENT_SECRET --tenant $AZURE_TENANT_ID"
    )
    assert signed_in.returncode == 0, signed_in.stderr
    return run


@pytest.mark.parametrize(("line", "printed"), WALKTHROUGH, ids=["federate", "client-id", "tenant-id"])
def test_a_line_of_the_walkthrough_runs_unchanged(
    az: Az, stack: tuple[RunningLab, dict[str, str]], line: str, printed: str
) -> None:
    done = az(line)
    assert done.returncode == 0, done.stderr
    assert stack[1].get(printed, printed) in done.stdout


@pytest.mark.parametrize(("command", "printed"), READS + WRITES, ids=[command for command, _ in READS + WRITES])
def test_a_command_prints_what_azure_would(az: Az, command: str, printed: Any) -> None:
    done = az(f"az {command} -o json")
    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout) if done.stdout.strip() else None) == printed


@pytest.mark.parametrize(("command", "code"), REFUSED, ids=[code for _, code in REFUSED])
def test_a_command_that_azure_refuses_is_refused(az: Az, command: str, code: str) -> None:
    done = az(f"az {command} -o json")
    assert done.returncode != 0
    assert code in done.stderr
