"""What the walkthrough types and what it shows, and how a screen is compared with that.

Its spaces come from a text recognition, so cells are compared, not columns; pod names and addresses, which it blanks
out, ages and node ports are compared by their shape.
"""

import re

APPLIED = """\
namespace/dexter created
secretproviderclass.secrets-store.csi.x-k8s.io/postgresql-kvname created
serviceaccount/dexter-sa created
deployment.apps/postgres-pod-kv created
service/dexter-service created
"""
DRIVERS = """\
NAME  ATTACHREQUIRED  PODINFOONMOUNT  STORAGECAPACITY  TOKENREQUESTS  REQUIRESREPUBLISH  MODES  AGE
disk.csi.azure.com  true  false  false  <unset>  false  Persistent  3h27m
file.csi.azure.com  false  true  false  <unset>  false  Persistent,Ephemeral  3h27m
secrets-store.csi.k8s.io  false  true  false  api://AzureADTokenExchange  false  Ephemeral  3h27m
"""
"""As the walkthrough has it, but for the token requests: without them no mount gets a workload identity's token."""
ACCOUNTS = """\
NAME  SECRETS  AGE
default  0  10m
dexter-sa  0  10m
"""
SECRETS = """\
NAME  TYPE  DATA  AGE
userpass  Opaque  2  3m19s
"""
PODS = """\
NAME  READY  STATUS  RESTARTS  AGE
get-storage-  1/1  Running  0  7m16s
postgres-pod-kv-  1/1  Running  0  16m
"""
SERVICES = """\
NAME  TYPE  CLUSTER-IP  EXTERNAL-IP  PORT(S)  AGE
dexter-service  LoadBalancer  10.10.1.158  20.10.1.51  5432:31164/TCP  37m
"""
DESCRIBED = """\
Name:  userpass
Namespace:  dexter
Labels:  secrets-store.csi.k8s.io/managed=true
Annotations:  <none>

Type:  Opaque

Data
====
PASSWORD:  {password} bytes
USERNAME:  {username} bytes
"""
METER = """\
% Total  % Received % Xferd  Average Speed  Time  Time  Time  Current
Dload  Upload  Total  Spent  Left  Speed
"""
DATABASE_COLUMNS = ("Name", "Owner", "Encoding", "Collate", "Ctype", "Access privileges")
SECRET_CURL = """\
curl -s https://dexterkeyvault.vault.azure.net/secrets/username?api-version=2016-10-01 -H "Authorization: Bearer \
`curl 'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2F\
vault.azure.net' -H Metadata:true | jq -r '.access_token'`\""""
BLOB_CURL = """\
curl "https://integrateakskvtachotacho.blob.core.windows.net/dexter/demo.txt" -H "x-ms-version: 2017-11-09" \
-H "Authorization: Bearer `curl 'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&\
resource=https%3A%2F%2Fstorage.azure.com%2F' -H Metadata:true | jq -r '.access_token'`\""""
DEMO = "This is a Demo File."


def database_rows(user: str) -> list[list[str]]:
    """The walkthrough's `\\l` in the database of its user, who owns everything."""
    plain = [user, "UTF8", "en_US.utf8", "en_US.utf8"]
    rights = f"=c/{user} + {user}=CTc/{user}"
    named = {user: "", "postgres": "", "template0": rights, "template1": rights}
    return [[name, *plain, named[name]] for name in sorted(named)]


def server_rows() -> list[list[str]]:
    """The walkthrough's `\\l` on the Flexible Server."""
    rights = "=c/azure_pg_admin + azure_pg_admin=CTc/azure_pg_admin"
    owners = {
        "azure_maintenance": ("azuresu", ""),
        "azure_sys": ("azuresu", ""),
        "postgres": ("azure_pg_admin", ""),
        "template0": ("azure_pg_admin", rights),
        "template1": ("azure_pg_admin", rights),
    }
    return [[name, owner, "UTF8", "en_US.utf8", "en_US.utf8", given] for name, (owner, given) in owners.items()]


def cells(text: str) -> list[list[str]]:
    """A table of kubectl: lines, split into cells."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


def shape(text: str) -> list[list[str]]:
    """Cells, with the walkthrough's own pod names, addresses, node ports and ages."""
    changes = {
        r"\b(get-storage|postgres-pod-kv)-[a-z0-9]+-[a-z0-9]{5}\b": r"\1-",
        r"\b\d+\.\d+\.\d+\.\d+\b": "ADDRESS",
        r"\b5432:3\d{4}/TCP": "5432:NODEPORT/TCP",
        r"\b(\d+[hms])+$": "AGE",
    }
    for pattern, name in changes.items():
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return cells(text)


def listed(screen: str) -> list[list[str]]:
    """The rows of psql's `\\l`, in the walkthrough's columns: servers from 15 on have more of them."""
    lines = [[cell.strip() for cell in line.split("|")] for line in screen.splitlines() if line.count("|") > 4]
    places = [lines[0].index(name) for name in DATABASE_COLUMNS]
    rows: list[list[str]] = []
    for line in lines[1:]:
        row = [line[place] for place in places]
        if row[0]:
            rows.append(row)
        else:
            rows[-1][-1] = re.sub(r" *\+$", " + ", rows[-1][-1]) + row[-1]
    return rows
