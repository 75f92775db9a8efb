#!/bin/sh
# What the postgres image's entrypoint does: a database from POSTGRES_* where PGDATA is empty, then the server.
# The lab gives it LAB_TEMPLATE (a fresh cluster to copy), LAB_BIN, LAB_ADDRESS, LAB_PORT and LAB_SOCKETS.
# No value is ever an argument: printf is the shell's own, everything else reads standard input.
set -eu
umask 077

from_file() { # NAME: NAME_FILE names a file with the value
  eval "file=\${${1}_FILE:-}"
  [ -z "$file" ] || eval "$1=\$(cat \"\$file\")"
}

literal() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/''/g")"; }
identifier() { printf '"%s"' "$(printf '%s' "$1" | sed 's/"/""/g')"; }

single() { # SQL on standard input, one statement a line; an error is told without its statement and ends us
  errors=$("$LAB_BIN/postgres" --single -D "$PGDATA" -c log_min_error_statement=panic -c log_min_messages=error \
    -c fsync=off -c log_checkpoints=off postgres 2>&1 >/dev/null | sed '/ERROR\|FATAL\|PANIC/!d')
  [ -z "$errors" ] || { printf '%s\n' "$errors" >&2; exit 1; }
}

initialise() {
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
    cat >&2 <<'TEXT'
Error: Database is uninitialized and superuser password is not specified.
       You must specify POSTGRES_PASSWORD to a non-empty value for the
       superuser. For example, "-e POSTGRES_PASSWORD=password" on "docker run".

       You may also use "POSTGRES_HOST_AUTH_METHOD=trust" to allow all
       connections without a password. This is *not* recommended.

       See PostgreSQL documentation about "trust":
       https://www.postgresql.org/docs/current/auth-trust.html
TEXT
    exit 1
  fi
  user=${POSTGRES_USER:-postgres}
  database=${POSTGRES_DB:-$user}
  mkdir -p "$PGDATA"
  chmod 700 "$PGDATA"
  cp -R "$LAB_TEMPLATE/." "$PGDATA"
  printf 'local all all trust\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" > "$PGDATA/pg_hba.conf"
  {
    printf 'UPDATE pg_catalog.pg_authid SET rolname = %s WHERE oid = 10\n' "$(literal "$user")"
    [ -z "${POSTGRES_PASSWORD:-}" ] ||
      printf 'ALTER ROLE %s PASSWORD %s\n' "$(identifier "$user")" "$(literal "$POSTGRES_PASSWORD")"
    [ "$database" = postgres ] || printf 'CREATE DATABASE %s\n' "$(identifier "$database")"
  } | single
  printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

: "${PGDATA:=/var/lib/postgresql/data}"
export PGDATA
if [ -s "$PGDATA/PG_VERSION" ]; then
  printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
else
  for name in POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB; do from_file $name; done
  initialise
fi
[ "${1:-}" != postgres ] || shift
exec "$LAB_BIN/postgres" -D "$PGDATA" -c "listen_addresses=$LAB_ADDRESS" -c "port=$LAB_PORT" \
  -c "unix_socket_directories=$LAB_SOCKETS" -c fsync=off -c full_page_writes=off -c synchronous_commit=off \
  -c shared_buffers=16MB -c max_wal_size=64MB -c min_wal_size=32MB -c log_min_error_statement=panic \
  -c log_parameter_max_length_on_error=0 -c dynamic_shared_memory_type=mmap "$@"
