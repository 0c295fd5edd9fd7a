#!/bin/sh
# SPDX-FileCopyrightText: The kubectl-motion authors
# SPDX-License-Identifier: Apache-2.0
#
# Starts PostgreSQL, after making its data folder at the first start. POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB and
# PGDATA mean what they mean in the image that most people use. PGDATA must belong to this user: on a volume, let it be
# a folder below the mount point.
set -eu

make_database() {
	if [ -z "${POSTGRES_PASSWORD:-}" ]; then
		echo "error: POSTGRES_PASSWORD is not set" >&2
		exit 1
	fi
	user=${POSTGRES_USER:-postgres}
	database=${POSTGRES_DB:-$user}
	# Made beside its place and moved there when it is complete, PG_VERSION last: a kill in between must not leave half a
	# database that the next start takes for a whole one.
	next=$PGDATA/.next
	rm -rf "$next"
	mkdir -p "$next"
	chmod 700 "$PGDATA" "$next"
	password=$(mktemp)
	printf '%s\n' "$POSTGRES_PASSWORD" >"$password"
	initdb -D "$next" -U "$user" --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256 \
		--locale=C.UTF-8 --encoding=UTF8
	rm -f "$password"
	printf 'host all all all scram-sha-256\n' >>"$next/pg_hba.conf"
	printf "listen_addresses = '*'\n" >>"$next/postgresql.conf"
	if [ "$database" != postgres ]; then
		echo "CREATE DATABASE \"$database\";" | postgres --single -D "$next" postgres >/dev/null
	fi
	# initdb has synced what it made; what was appended since would be zeros in a crash-consistent snapshot.
	sync -f "$next"
	for entry in "$next"/*; do
		name=${entry##*/}
		if [ "$name" != PG_VERSION ]; then
			rm -rf "${PGDATA:?}/$name"
			mv "$entry" "$PGDATA/"
		fi
	done
	mv "$next/PG_VERSION" "$PGDATA/"
	rmdir "$next"
	sync -f "$PGDATA"
}

if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
	make_database
fi
exec "$@"
