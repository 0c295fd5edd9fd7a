#!/bin/sh
# SPDX-FileCopyrightText: The kubectl-motion authors
# SPDX-License-Identifier: Apache-2.0
#
# Starts PostgreSQL, after making its data folder at the first start. POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_DB and
# PGDATA mean what they mean in the image that most people use.
set -eu

if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
	: "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
	if [ -z "${POSTGRES_PASSWORD:-}" ]; then
		echo "error: POSTGRES_PASSWORD is not set" >&2
		exit 1
	fi
	# Made beside its place and moved there when complete: a kill half-way must not leave half a database.
	next=$PGDATA.next
	if [ -d "$PGDATA" ]; then next=$PGDATA/.next; fi
	rm -rf "$next"
	mkdir -p "$next"
	chmod 700 "$next"
	password=$(mktemp)
	printf '%s\n' "$POSTGRES_PASSWORD" >"$password"
	initdb -D "$next" -U "$POSTGRES_USER" --pwfile="$password" --auth-local=trust --auth-host=scram-sha-256 \
		--locale=C.UTF-8 --encoding=UTF8
	rm -f "$password"
	printf 'host all all all scram-sha-256\n' >>"$next/pg_hba.conf"
	printf "listen_addresses = '*'\n" >>"$next/postgresql.conf"
	if [ "$POSTGRES_DB" != postgres ]; then
		echo "CREATE DATABASE \"$POSTGRES_DB\";" | postgres --single -D "$next" postgres >/dev/null
	fi
	if [ -d "$PGDATA" ]; then
		# PG_VERSION goes last: it is what says that the folder is complete.
		for entry in "$next"/* "$next"/.[!.]*; do
			case $entry in */PG_VERSION | *'*' | *'[!.]'*) continue ;; esac
			mv "$entry" "$PGDATA/"
		done
		mv "$next/PG_VERSION" "$PGDATA/"
		rmdir "$next"
		chmod 700 "$PGDATA" 2>/dev/null || true
	else
		mkdir -p "$(dirname "$PGDATA")"
		mv "$next" "$PGDATA"
	fi
fi
exec "$@"
