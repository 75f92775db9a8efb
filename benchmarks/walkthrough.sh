#!/bin/bash
# The walkthrough's rotation, as somebody would write it down for a shell: new versions, two minutes, 0, 1, log in.
# Usage: walkthrough.sh SECONDS-TO-WAIT. Azure's REST interface stands for az, which is slower to start.
set -euo pipefail
wait_seconds=$1
vault=https://dexterkeyvault.vault.azure.net
version='api-version=7.4'

token=$(curl -sf "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" \
  -d grant_type=client_credentials -d "client_id=$AZURE_CLIENT_ID" -d "client_secret=$AZURE_CLIENT_SECRET" \
  -d scope=https://vault.azure.net/.default | jq -r .access_token)
call() { curl -sf -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$@"; }
older() { call "$vault/secrets/$1/versions?$version" | jq -r '.value[] | select(.attributes.enabled) | .id'; }

user=user$RANDOM
password=$(tr -dc a-zA-Z0-9 < /dev/urandom | head -c 24 || true)
old="$(older username) $(older password)"
call -X PUT "$vault/secrets/username?$version" -d "{\"value\": \"$user\"}" > /dev/null
call -X PUT "$vault/secrets/password?$version" -d "{\"value\": \"$password\"}" > /dev/null
for id in $old; do call -X PATCH "$id?$version" -d '{"attributes": {"enabled": false}}' > /dev/null; done

sleep "$wait_seconds"
kubectl get secrets/userpass -n dexter '--template={{.data.USERNAME}}' | base64 -d > /dev/null

kubectl scale deploy postgres-pod-kv --replicas=0 -n dexter
kubectl scale deploy postgres-pod-kv --replicas=1 -n dexter
kubectl rollout status deploy postgres-pod-kv -n dexter --timeout=120s
[ "$(kubectl exec deploy/postgres-pod-kv -n dexter -- cat /mederma/username)" = "$user" ]

host=$(kubectl get svc dexter-service -n dexter -o 'jsonpath={.status.loadBalancer.ingress[0].ip}')
export PGPASSWORD=$password
until psql -h "$host" -U "$user" -d postgres -c '\l' > /dev/null; do sleep 0.2; done
