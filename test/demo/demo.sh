#!/usr/bin/env bash
# SPDX-FileCopyrightText: The kubectl-motion authors
# SPDX-License-Identifier: Apache-2.0

# The main job, for real: a PostgreSQL that is being written to moves from one
# cluster of the lab to the other, by a user who has rights in one namespace only.
# Afterwards it proves that every transaction whose commit a client saw committed is
# there. It expects the lab to be up and bin/ to be built (make demo sees to both).
#
# The exit status is 0 only when everything is as it should be.
set -euo pipefail
cd "$(dirname "$0")/../.."

SCALE=${SCALE:-5}        # pgbench's scale: 1 is about 15 MiB
WARMUP=${WARMUP:-1000}   # acknowledged transactions before the migration begins

root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
KUBECONFIG=$("$root/bin/motion-lab" kubeconfig --path)
export KUBECONFIG

# The lab's own kubectl, which finds the plugin in its PATH.
export PATH=$root/bin/lab:$root/bin:$PATH

begun=$SECONDS
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }
fail() { printf 'demo: FAILED: %s\n' "$*" >&2; exit 1; }
a() { kubectl --context lab-a-blue "$@"; }
b() { kubectl --context lab-b-blue "$@"; }

# sql CLUSTER [ARGUMENT...]: psql in the database's pod there.
sql() {
  local cluster=$1
  shift
  "$cluster" exec -i postgres-0 -c postgres -- psql -U postgres -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

reset() {
  local cluster
  for cluster in a b; do
    "$cluster" delete statefulset,service,configmap,secret,pod -l app=postgres --ignore-not-found --wait=true >/dev/null
    "$cluster" delete pod/writer configmap/writer --ignore-not-found --wait=true >/dev/null
    if "$cluster" get volumeshipments.kubectl-motion.dev >/dev/null 2>&1; then
      "$cluster" delete migrations.kubectl-motion.dev,volumeshipments.kubectl-motion.dev --all --wait=true >/dev/null
    fi
    "$cluster" delete pvc -l app=postgres --ignore-not-found --wait=true >/dev/null
  done
}

say "1. The application: PostgreSQL in namespace blue of lab-a, scale $SCALE"
"$root/bin/motion-lab" load-image "$root"/bin/images/*.tar
reset
run a apply -f test/demo/shop.yaml
a rollout status statefulset/postgres --timeout=120s
a exec postgres-0 -c postgres -- pgbench -U postgres -i -q -s "$SCALE" postgres >"$work/log" 2>&1 || { cat "$work/log"; fail "pgbench could not make its tables"; }
sql a -c 'CREATE TABLE payments (client int, n bigint, PRIMARY KEY (client, n))'
sql a -c "SELECT 'database of ' || pg_size_pretty(pg_database_size('postgres'))"

say "2. The administrator pairs the clusters for namespace blue"
run kubectl motion pair lab-b --context lab-a --to-context lab-b -n blue --yes --progress plain

say "3. A client writes, and notes what the database acknowledged"
run a apply -f test/demo/writer.yaml
a wait --for=condition=Ready pod/writer --timeout=60s >/dev/null
until [ "$(sql a -c 'SELECT count(*) FROM payments')" -ge "$WARMUP" ]; do
  [ "$(a get pod writer -o jsonpath='{.status.phase}')" = Running ] || { a logs writer; fail "the client ended early"; }
done
echo "$(sql a -c 'SELECT count(*) FROM payments') transactions so far, and counting"

say "4. The user blue moves the application to lab-b, for good"
echo "$ kubectl motion migrate --context lab-a-blue --to lab-b --cutover"
kubectl motion migrate --context lab-a-blue --to lab-b --cutover --progress plain >"$work/result" ||
  fail "the migration ended with an error"

say "5. The proof"
a wait --for=jsonpath='{.status.phase}'=Succeeded pod/writer --timeout=60s >/dev/null
a logs writer >"$work/acknowledged"
[ -s "$work/acknowledged" ] || fail "the client noted nothing"
awk '{ print $1 "\t" $2 }' "$work/acknowledged" >"$work/pairs"
acknowledged=$(wc -l <"$work/pairs")
[ "$acknowledged" -ge "$WARMUP" ] || fail "only $acknowledged acknowledged transactions"
{
  echo 'CREATE TEMP TABLE acknowledged (client int, n bigint);'
  echo 'COPY acknowledged FROM STDIN;'
  cat "$work/pairs"
  echo '\.'
  echo 'SELECT count(*) FROM (SELECT client, n FROM acknowledged EXCEPT SELECT client, n FROM payments) AS lost;'
} | sql b >"$work/lost"
lost=$(tail -n 1 "$work/lost")
[ "$lost" = 0 ] || fail "$lost of $acknowledged acknowledged transactions are not on lab-b"
echo "$acknowledged transactions were acknowledged, and every one is on lab-b"

books=$(sql b -c 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)
  AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(bbalance) FROM pgbench_branches)
  AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history)')
[ "$books" = t ] || fail "the books of pgbench do not balance on lab-b"
echo "the books balance"
b exec postgres-0 -c postgres -- pg_amcheck -U postgres --install-missing postgres || fail "pg_amcheck found damage"
echo "pg_amcheck found nothing"
b exec postgres-0 -c postgres -- pgbench -U postgres -n -t 100 postgres >/dev/null 2>&1 || fail "lab-b does not take writes"
echo "it answers on lab-b and takes new transactions"
[ "$(a get statefulset postgres -o jsonpath='{.spec.replicas}')" = 0 ] || fail "the source was not stopped"
[ -z "$(a get pods -l app=postgres -o name)" ] || fail "there is a second writer on lab-a"
echo "nothing runs on lab-a any more"

say "6. What it cost"
cat "$work/result"
echo "demo: done in $((SECONDS - begun)) s"

say "Try next"
cat <<'TEXT'
  export KUBECONFIG=$(bin/motion-lab kubeconfig --path)
  bin/kubectl-motion rollback --context lab-a-blue --to lab-b      # and back
  bin/kubectl-motion migrate --context lab-a-blue --to lab-b       # a copy on standby, again and again
  make lab-down                                                    # remove the lab
TEXT
