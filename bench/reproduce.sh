#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From a fresh clone to the main claims in about 30 minutes (an estimate): an environment, the library and all systems that install, a
# quick study, its claims and its report. The same command goes on where it was interrupted.
#
#   bench/reproduce.sh [DIR [ARGUMENT...]]     DIR: rnncore-study; arguments go to rnncore bench study
#   THREADS=1,2 bench/reproduce.sh             one thread without it, which is half of the time
#   PEERS= bench/reproduce.sh                  only systems that come with the library
#
# Needs Python 3.11 or newer and a C compiler; PYTHON names another interpreter. pip takes its usual variables: where it
# finds PyTorch's build for CPUs it has two gigabytes less to fetch.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${1:-rnncore-study}
shift || true
environment=$out-environment
python=$environment/bin/python

[[ -x $python ]] || "${PYTHON:-python3}" -m venv "$environment"
"$python" -m pip install --quiet "$root[study,cli]"
if [[ ${PEERS-all} ]]; then
    # One at a time: what cannot be had for this interpreter is left out, and nothing else with it.
    "$python" - <<'END' | while IFS= read -r requirement; do
from importlib.metadata import requires

EXTRA = "extra == 'peers'"
for requirement in requires("rnncore"):
    name, _, condition = requirement.replace('"', "'").partition(";")
    if EXTRA in condition:
        rest = condition.replace(f"and {EXTRA}", "").replace(EXTRA, "").strip()
        print(f"{name.strip()}; {rest}" if rest else name.strip())
END
        "$python" -m pip install --quiet "$requirement" </dev/null || echo "left out: $requirement"
    done
fi

cd "$(dirname "$out")"
study=$(basename "$out")
run() { "$PWD/$study-environment/bin/rnncore" bench "$@"; }
run study --quick --threads "${THREADS:-1}" --out "$study" "$@"
run claims "$study"
run html "$study"
cat "$study/claims.md"
