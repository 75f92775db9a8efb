"""Every error code of Keyturn's own, with what it says and how to fix it: the one place where these texts are."""

from enum import StrEnum


class Code(StrEnum):
    """Keyturn's own error codes, each with what it says and how to fix it.

    Codes of vendors (`ForbiddenByRbac`, `AADSTS700213`, the SQLSTATE `28P01`) are theirs and stay as they are. The
    runbook's tables are checked against this list.
    """

    what: str
    fix: str

    def __new__(cls, code: str, what: str, fix: str) -> "Code":
        """Make a member of its code and its two texts."""
        member = str.__new__(cls, code)
        member._value_, member.what, member.fix = code, what, fix
        return member

    ACTS_AS_ANOTHER = (
        "ActsAsAnother",
        "The login's sessions do not act as its owner role",
        "See which settings the login has (psql's \\drds): one for a database, or of the database, wins; remove it",
    )
    ADDRESS_REFUSED = (
        "AuthorizationFailure",
        "The storage account's network rules do not let this address in",
        "Allow the address in the account's network rules, or run the flow in a network that they allow",
    )
    ANONYMOUS = (
        "Anonymous",
        "The cluster does not recognise the caller, who signed in as nobody",
        "Give the kubeconfig's context a user with a credential, or unset KEYTURN_KUBECONFIG to have AKS issue one",
    )
    APPROVAL_NEEDS_DEPLOYMENT = (
        "ApprovalNeedsDeployment",
        "Only a run of a deployment can ask for approval",
        "Look at the plan with a dry run, then run without guards.approval; or start a run of the deployment",
    )
    ASKS_CURRENT_USER = (
        "AsksCurrentUser",
        "SQL asks for the current user, who is the owner role after the migration; and session_user takes turns",
        "See whether each of them may get the owner role's name; correct those that may not",
    )
    AZURE_RIGHTS_MISSING = (
        "AzureRightsMissing",
        "The caller lacks rights in Azure that the plan needs",
        "Assign the roles that docs/azure.md names for the flow, at the scope that is named here; nothing was changed",
    )
    BOTH_ENABLED = (
        "BothEnabled",
        "More than one login of the owner role can log in, and no rotation explains it",
        "See who uses the login that is not current; then rotate, which disables it, or ALTER ROLE ... NOLOGIN",
    )
    CANDIDATE_LEFT = (
        "CandidateLeft",
        "A candidate was left behind",
        "If its rotation is unfinished, run flows.rotate, which finishes it; else delete that secret",
    )
    AUTOSCALED = (
        "Autoscaled",
        "An autoscaler sets how many pods the database has, and may start one while the rotation has stopped it",
        "Remove it for the rotation; the number of pods that the database has now is restored without it",
    )
    CANDIDATE_LOST = (
        "CandidateLost",
        "The candidate of the rotation is gone",
        "See who deleted or replaced it: recover it, or write the secrets by hand; then run again without a "
        "rotation id",
    )
    CANDIDATE_UNREADABLE = (
        "CandidateUnreadable",
        "The candidate secret was not written by a rotation",
        "If no rotation is unfinished, delete that secret and run again; else restore its previous version",
    )
    CHANGE_DENIED = (
        "ChangeDenied",
        "The cluster refuses a change that the rotation makes",
        "Remove what the message names, such as an admission policy or an immutable Secret",
    )
    CHANGE_UNTRIED = (
        "ChangeUntried",
        "Whether the cluster lets the rotation make a change cannot be tried without effect",
        "See that the admission webhook that the message names lets it pass, or declare that it has no side effects",
    )
    CLEARTEXT_PASSWORD = (
        "CleartextPassword",
        "The server asks for the password itself, and gets none",
        "In its pg_hba.conf, put scram-sha-256 in place of password, ldap, pam or radius for this login; on a Flexible "
        "Server, use a login that has a password of its own instead of one of Entra ID",
    )
    CLIENT_NOT_ADMITTED = (
        "ClientNotAdmitted",
        "The server admits no connection from this client",
        "Allow the client's address: by a firewall rule of the Flexible Server, or by a line for this host, login and "
        "database in the server's pg_hba.conf. The secrets may be right: leave them",
    )
    CONNECTIONS_SCARCE = (
        "ConnectionsScarce",
        "Too few connections are free for a rotation",
        "Raise the limit that is named, or let the clients keep fewer connections",
    )
    CONSENT_MISSING = (
        "ConsentMissing",
        "The strategy recreate needs consent to data loss",
        "Set data_loss to 'I accept data loss' if nothing in the database must be kept",
    )
    DERIVED_DIFFERS = (
        "DerivedDiffers",
        "The derived secret does not have what its template makes of the current login",
        "Compare the template with the secret's value; what else differs changes with the rotation, too",
    )
    CONTAINER_MISSING = (
        "ContainerMissing",
        "The workload has no container of the name that the reload command runs in",
        "Correct the field reload.container",
    )
    DENY_ASSIGNMENT = (
        "DenyAssignmentAuthorizationFailed",
        "A deny assignment forbids it, whatever roles the caller has",
        "Ask who made the deny assignment that is named; no role helps against it",
    )
    CONSENT_TO_LOSSES = (
        "ConsentToLosses",
        "Something that others may rely on would lose its effect",
        "Give who is named a role on the vault in place of each access policy, then consent with drop_access_policies; "
        "nothing was changed",
    )
    CONTEXT_MISSING = (
        "ContextMissing",
        "The kubeconfig has no context for the cluster",
        "Add it with `az aks get-credentials`, which names it after the cluster, or set KEYTURN_KUBE_CONTEXT",
    )
    COPIES_HIDDEN = (
        "CopiesHidden",
        "What may keep a copy of the password could not be looked at",
        "Ask its owner whether it uses this login; or name an administrator in the credential, who sees more",
    )
    ENVIRONMENT_STAYS = (
        "EnvironmentStays",
        "Containers have the Secret in their environment, which they read only when they start, and the rotation does "
        "not restart the workload",
        "Let it be restarted (needs_restart), or let it read mounted files instead",
    )
    DRIFTED = (
        "Drifted",
        "A consumer does not have what the vault has",
        "If its pods start with older values they are locked out later: wait for the driver's next poll, else restart "
        "the workload; if the class pins versions, unpin them",
    )
    EXPIRED = (
        "Expired",
        "The newest version has expired",
        "Rotate now: the new version gets a new expiry",
    )
    EXPIRES_SOON = (
        "ExpiresSoon",
        "The newest version expires soon",
        "Rotate, or give the credential the field before_expiry, and the fleet does",
    )
    FILES_DIFFER = (
        "FilesDiffer",
        "The files in the pod differ from the vault",
        "See the CSI driver's log on the pod's node",
    )
    FILES_UNREAD = (
        "FilesUnread",
        "The files in the pod cannot be read: the CSI driver's report of its mount is what proves them",
        "Nothing must be done. To have the files read as well, use an image with sha256sum, and bind the ClusterRole "
        "keyturn-files to the caller",
    )
    FIRST_PASSWORD_MISSING = (
        "FirstPasswordMissing",
        "The variable of the first password is empty",
        "Set it where the flow runs, or leave first_password_variable empty to have one generated",
    )
    FIRST_PASSWORD_WEAK = (
        "FirstPasswordWeak",
        "Azure does not accept the first password",
        "Use 8-128 characters of three kinds (lower case, upper case, digits, others), without the username",
    )
    FLEET_NEVER_BEGINS = (
        "FleetNeverBegins",
        "The fleet would not begin a rotation that is asked for",
        "Leave it out of `requested` and rotate it by flows.rotate, or take `paused` out of the inventory",
    )
    FLEET_TROUBLE = (
        "FleetTrouble",
        "Some credentials of the fleet need a person",
        "See them at the top of the table `fleet`; the report of each rotation says what to do",
    )
    FOLLOWED_BY_SETTING = (
        "FollowedBySetting",
        "Sessions of others start as the login by their setting `role`, and would start as a login that owns nothing",
        "Remove these settings (ALTER ROLE, or ALTER DATABASE, ... RESET role), and set the owner role afterwards",
    )
    GRACE = (
        "Grace",
        "A new rotation needs the login that still has its grace",
        "Wait until the grace is over; or end it now with no_grace, if nobody uses that login any more",
    )
    FORBIDDEN_BY_CONNECTION = (
        "ForbiddenByConnection",
        "The vault takes requests through its private endpoint alone",
        "Run the flow where the vault's name resolves to its private endpoint, or allow public access to the vault",
    )
    FORBIDDEN_BY_FIREWALL = (
        "ForbiddenByFirewall",
        "The vault's firewall does not let this address in",
        "Allow the address that is named in the vault's firewall, or run the flow in a network that it allows",
    )
    FORBIDDEN_BY_POLICY = (
        "ForbiddenByPolicy",
        "The vault's access policies do not give the caller this permission",
        "Give the caller the permission that is named by an access policy of the vault: it does not look at roles",
    )
    HAS_MEMBERS = (
        "HasMembers",
        "Roles are members of the login: they keep its privileges, but SET ROLE to it fails afterwards",
        "Let their sessions switch to the owner role instead",
    )
    HELD_BACK = (
        "HeldBack",
        "The workload's update strategy keeps a restart from replacing all of its pods",
        "Set spec.updateStrategy.type to RollingUpdate, and its partition to 0; then run again",
    )
    HOST_NOT_FOUND = (
        "HostNotFound",
        "The host's name does not resolve",
        "Check the name; provision it, or wait until a new name is known everywhere",
    )
    LAYOUT_MISMATCH = (
        "LayoutMismatch",
        "The secret does not hold a login in the way that the credential's layout says",
        "Correct the field `secrets` of the credential, or write the secret again in that form, as a new version",
    )
    LOCK_LEFT = (
        "LockLeft",
        "A lock is held that nobody renews",
        "Nothing if a rotation was killed: the next one takes it. It may be deleted",
    )
    LOCK_LOST = (
        "LockLost",
        "Somebody else took the lock",
        "See who rotates the same credential; run again when they have finished",
    )
    LOCKED = (
        "Locked",
        "Another rotation of this credential is running",
        "Wait until it ends. The lock of a rotation that died expires by itself",
    )
    LOGINS_DIFFER = (
        "LoginsDiffer",
        "The database does not let one login be made like the other",
        "Name the secrets of an administrator that may give what is named in the credential's field `administrator`; "
        "or take it from the current login",
    )
    MANY_LOGINS = (
        "ManyLogins",
        "It is not clear which login is next",
        "Name it with new_username, or drop the logins that nobody needs",
    )
    MD5_PASSWORD = (
        "Md5Password",
        "The server keeps the password as md5, which proves too little of a new login",
        "Set password_encryption to scram-sha-256: on a Flexible Server by its server parameters, else in "
        "postgresql.conf; then rotate",
    )
    NEWER_VERSION = (
        "NewerVersion",
        "Somebody else wrote a newer version",
        "To keep theirs: delete the candidate, see that the login works, and run again. To drop theirs: if it is not "
        "the newest, disable it and run again; the rotation resumes",
    )
    NO_ANSWER = (
        "NoAnswer",
        "The command printed no answer",
        "Check that the resource exists and that the machine reaches it",
    )
    NO_DATABASE = (
        "NoDatabase",
        "The strategy recreate needs to know the database's workload",
        "Mark the database's consumer with is_database, or use the strategy in-place",
    )
    NO_DATABASE_HERE = (
        "NoDatabaseHere",
        "A Flexible Server is not a workload of the cluster",
        "Take that consumer out, or mark it as a client",
    )
    NO_KIND_MATCH = (
        "NoKindMatch",
        "The cluster does not know this kind",
        "Install what defines the kind; SecretProviderClass comes with the add-on azure-keyvault-secrets-provider",
    )
    NO_PASSWORD_PROOF = (
        "NoPasswordProof",
        "The server asks for no proof of the password, so a login proves nothing",
        "In the server's pg_hba.conf, put scram-sha-256 in place of trust, cert, peer or ident for this host and login",
    )
    NOT_CONFIRMED = (
        "NotConfirmed",
        "The confirmation is not the resource group's name; nothing was removed",
        "Repeat the resource group's name to confirm",
    )
    NOT_OFFERED = (
        "NotOffered",
        "The region does not offer what is asked for",
        "Choose a value that is offered, or another region; nothing was changed",
    )
    NOT_IN_CLUSTER = (
        "NotInCluster",
        "This process is not a pod with a service account",
        "Run it in the cluster with automountServiceAccountToken, or leave sign_in out of the credential's cluster",
    )
    NOT_MIGRATED = (
        "NotMigrated",
        "The strategy alternating needs two logins of one owner role",
        "Run the flow migrate for this credential: it makes the owner role of the current login",
    )
    OBJECT_IS_BEING_DELETED = (
        "ObjectIsBeingDeleted",
        "The name is held by a secret that is being deleted or purged",
        "Wait until that is over, which takes Azure some seconds; then run again",
    )
    EXTERNAL_SECRET_MISMATCH = (
        "ExternalSecretMismatch",
        "The ExternalSecret does not fit the credential",
        "Correct the ExternalSecret, its store or the credential",
    )
    INSIDE_ONLY = (
        "InsideOnly",
        "The Service is reached from inside the cluster alone",
        "Run the worker in that cluster (cluster: {sign_in: in-cluster}), route its name to a tunnel "
        "by KEYTURN_RESOLVE, or give an endpoint of another kind",
    )
    NOT_KEPT = (
        "NotKept",
        "Nothing keeps the Secret equal to the vault",
        "Run a workload that mounts the class, or use the express sync, which writes the Secret itself",
    )
    NOT_MOUNTED = (
        "NotMounted",
        "The workload's pods do not take the credential from where the inventory says",
        "Mount the class in the workload's pods. If they read a Secret that another workload's mount keeps, "
        "list that: delivery: {kind: secret, secret: ..., kept_by: THE_CLASS}",
    )
    OLD_LOGIN_WORKS = (
        "OldLoginWorks",
        "A previous login still works",
        "Rotate, or find out why the database did not get the newest versions",
    )
    OPERATION_TIMED_OUT = (
        "OperationTimedOut",
        "The operation timed out",
        "Look at it in the portal; run again to keep waiting",
    )
    OVERDUE = (
        "Overdue",
        "The credential should have been rotated by now",
        "See how its last rotation ended, and whether it is paused, its window opens, or its ring is held up",
    )
    OWNS_SUBSCRIPTIONS = (
        "OwnsSubscriptions",
        "The login owns subscriptions, which stop when their owner can no longer log in",
        "Give them another owner (ALTER SUBSCRIPTION ... OWNER TO), then run again",
    )
    PLUGIN_FAILED = (
        "PluginFailed",
        "The credential plugin of the kubeconfig gives no credential",
        "Run it by hand as the user that the flows run as; or unset KEYTURN_KUBECONFIG, then the flows' own Azure "
        "credential signs in",
    )
    OPERATED = (
        "Operated",
        "Somebody else's controller owns the workload, and may undo what the rotation writes to it",
        "See that the controller keeps annotations, restarts and scaling that it did not make itself",
    )
    PARTLY_MOUNTED = (
        "PartlyMounted",
        "Files that are mounted by subPath never get new values, and the rotation does not restart the workload",
        "Mount the whole volume instead of a subPath; for a client, let it be restarted: needs_restart",
    )
    PAUSED = (
        "Paused",
        "The workload's rollout is paused or aborted, so a restart would not come to its end",
        "kubectl rollout resume, for an Argo Rollout kubectl argo rollouts promote (after an abort: retry rollout), "
        "or finish what it was paused for; then run again",
    )
    PASSWORD_COPIED = (
        "PasswordCopied",
        "Copies of the password inside the database would stop working",
        "Let them use a login of their own. Or set the credential's password_copies to warn, and update them right "
        "after each rotation: ALTER USER MAPPING, ALTER SUBSCRIPTION",
    )
    PLAN_BLOCKED = (
        "PlanBlocked",
        "More than one thing keeps the plan from being made",
        "Fix each cause below, and look at the plan with a dry run; nothing was changed",
    )
    PLAN_CHANGED = (
        "PlanChanged",
        "The plan is no longer the one that was approved",
        "Start a new run, and approve its plan",
    )
    PIN_LEFT = (
        "PinLeft",
        "A SecretProviderClass is pinned, and no rotation is unfinished",
        "Put the text of the annotation keyturn/unpinned-objects back into spec.parameters.objects, then delete both "
        "annotations",
    )
    PODS_LEFT = (
        "PodsLeft",
        "Pods are left",
        "See whether the workload is scaled to 0, and whether a finalizer or a lost node holds the pods",
    )
    PREFLIGHT = (
        "Preflight",
        "The preflight found more than one thing that blocks the rotation",
        "Fix each cause below, look at the plan with a dry run, and run again",
    )
    PROVIDERS_UNREGISTERED = (
        "ProvidersUnregistered",
        "Resource providers are not registered in the subscription, and the caller may not register them",
        "Let who has Contributor on the subscription run `az provider register --namespace` for each; nothing was "
        "changed",
    )
    PIN_UNDONE = (
        "PinUndone",
        "Something else keeps the ExternalSecret as it is, and would take the pinned versions out again",
        "Let the tool leave its references alone during a rotation, keep the login in one secret of the vault, "
        "or use in-place",
    )
    PRIVATE_SERVER = (
        "PrivateServer",
        "The Flexible Server has private access, and it is not reached from here",
        "Run the worker in its virtual network, or in one that is peered with it and linked to its private DNS zone; "
        "or route its name by KEYTURN_RESOLVE",
    )
    PROVIDER_CLASS_MISMATCH = (
        "ProviderClassMismatch",
        "The SecretProviderClass does not fit the credential",
        "Correct the class or the credential; after the class, restart its pods",
    )
    RELATIONS_LOST = (
        "RelationsLost",
        "The login would no longer find relations by unqualified name",
        "See which schemas its search_path names, and which of them the owner role may use; set it for the login "
        "explicitly",
    )
    RELOAD_FAILED = (
        "ReloadFailed",
        "The reload command of a client failed",
        "Run it by hand with kubectl exec, which shows what it prints; correct it, or let the client be restarted",
    )
    REQUEST_DISALLOWED_BY_POLICY = (
        "RequestDisallowedByPolicy",
        "Azure Policy denies it",
        "Give what the policy that is named demands. A secret's expiry: set expires_after_days of the credential. Its "
        "content type: set it at the newest version, the next ones have it too. Or ask the policy's owner for an "
        "exemption",
    )
    RIGHTS_OF_ONE_LOGIN = (
        "RightsOfOneLogin",
        "Some rights belong to the current login alone: the alternate login does not have them",
        "Grant to the owner role instead, whose rights both logins have, and give it what the login owns "
        "(REASSIGN OWNED)",
    )
    ROLE_NOT_KEPT = (
        "RoleNotKept",
        "The server's version does not keep the role that sessions start as",
        "Update it to its newest minor version",
    )
    RIGHTS_MISSING = (
        "RightsMissing",
        "The caller has not the rights in the cluster that the rotation needs",
        "Bind the ClusterRoles of manifests/keyturn/roles.yaml to the caller",
    )
    ROLLED_BACK = (
        "RolledBack",
        "The rotation was rolled back earlier",
        "Give no rotation id: a new rotation begins",
    )
    ROTATION_UNFINISHED = (
        "RotationUnfinished",
        "A rotation is unfinished, and what it stopped or pinned would be changed",
        "Rotate the credential, which finishes it; then deploy",
    )
    RUN_UNDER_WAY = (
        "RunUnderWay",
        "A run that is under way keeps the login that it began with, and its new connections fail once that is refused",
        "Wait until it has ended; or use the strategy alternating with a grace that is longer than a run",
    )
    SCHEMA_OF_ITS_NAME = (
        "SchemaOfItsName",
        'Open sessions find the schema of the login\'s name by "$user", and would lose it at once',
        "Name the schema in the search_path of the login (ALTER ROLE ... IN DATABASE ... SET search_path), restart its "
        "clients, then run again",
    )
    SECRET_DISABLED = (
        "SecretDisabled",
        "The newest version of the secret is disabled",
        "Enable that version, or write a new one; then run again",
    )
    SECRET_EXPIRED = (
        "SecretExpired",
        "The newest version of the secret has expired",
        "Write a new version, or move the expiry of that one on; then run again",
    )
    SECRET_NOT_YET_VALID = (
        "SecretNotYetValid",
        "The newest version of the secret is not valid yet",
        "Wait until its activation date, or move that; then run again",
    )
    SESSIONS_HIDDEN = (
        "SessionsHidden",
        "Where sessions of the credential's logins come from could not be looked at",
        "See who it is (pg_stat_activity); or name an administrator in the credential who may look, as a member of "
        "pg_read_all_stats may",
    )
    STARTS_AS_ANOTHER = (
        "StartsAsAnother",
        "The login's sessions start as another role already",
        "Remove the login's setting `role` if its sessions need not (ALTER ROLE ... RESET role, with IN DATABASE where "
        "it is for one); else use the strategy in-place",
    )
    TEMPLATE_ELSEWHERE = (
        "TemplateElsewhere",
        "The Rollout takes its pod template from something else than a Deployment",
        "Let its workloadRef name a Deployment, or write the template in the Rollout",
    )
    THIRD_LOGIN = (
        "ThirdLogin",
        "The new username cannot be used",
        "Two logins take turns: give the name of the alternate login, or none",
    )
    TLS_DEMANDED = (
        "TlsDemanded",
        "The server admits no connection without TLS from this client",
        "Reach the database by an endpoint with TLS; or add a line `host` for this client's address to its pg_hba.conf",
    )
    TLS_FAILED = (
        "TlsFailed",
        "The TLS connection could not be made as required",
        "See whether the host is named in the server's certificate and KEYTURN_POSTGRES_CA_FILE has its authority",
    )
    TOO_MANY_TAGS = (
        "TooManyTags",
        "The secret has too many tags of its owner for those of a rotation",
        "Remove tags from its newest version until at most 13 are left",
    )
    UNEXPECTED = (
        "Unexpected",
        "An exception that Keyturn does not know",
        "Run again; if it stays, report it with the run's log, which has the traceback",
    )
    UNSETTLED = (
        "Unsettled",
        "The workload is not ready now, so its restart may not end well either",
        "See why: kubectl describe; a rotation whose clients do not get ready is rolled back",
    )
    UNFINISHED = (
        "Unfinished",
        "A rotation is unfinished",
        "Run the flow rotate, which finishes it; then run this again",
    )
    UNKNOWN_SESSIONS = (
        "UnknownSessions",
        "Sessions of the login come from where no listed consumer is",
        "List who it is under consumers; outside the clusters, under external_consumers with its addresses. Name a NAT "
        "gateway or a pooler in client_addresses. If they may miss a rotation, set unlisted_consumers to warn",
    )
    UNLISTED_CONSUMER = (
        "UnlistedConsumer",
        "A workload that the credential does not list reads it",
        "Add it to the credential's consumers. If it may miss a rotation, set unlisted_consumers to warn",
    )
    UNLISTED_SOURCE = (
        "UnlistedSource",
        "A consumer takes the credential from more than its listed delivery",
        "List each SecretProviderClass and Secret that its pods take a part of the credential from, under deliveries",
    )
    UNREACHABLE = (
        "Unreachable",
        "The cluster's API server does not answer",
        "Check that the cluster runs and that its server can be reached from here (HTTPS_PROXY and NO_PROXY included)",
    )
    UNKNOWN_ROTATION = (
        "UnknownRotation",
        "No rotation of this credential has this id: it is mistyped, or its run ended before anything was staged",
        "Correct the id, or give none: an unfinished rotation resumes, else a new one begins",
    )
    USERNAME_STAYS = (
        "UsernameStays",
        "The strategy keeps the username",
        "Give no new_username, or use a strategy that changes it",
    )
    VALID_UNTIL_STAYS = (
        "ValidUntilStays",
        "The new password would end on the date on which the current one does",
        "Move the date on (ALTER ROLE ... VALID UNTIL), or use the strategy alternating with an administrator and the "
        "field valid_until: extend",
    )
    VERSIONS_ENABLED = (
        "VersionsEnabled",
        "Older versions can still be read, and no rotation is unfinished",
        "See that the database refuses their logins (flows.verify_login), then disable them; or rotate",
    )
    VOLUME_KEEPS_DATA = (
        "VolumeKeepsData",
        "The strategy recreate would change nothing",
        "Use the strategy in-place or alternating: they change the login inside the database, and its files stay",
    )
    WRONG_CLUSTER = (
        "WrongCluster",
        "This is not the cluster that the credential names",
        "Correct the context, or the credential's cluster. `az aks get-credentials` names a context after its cluster",
    )
