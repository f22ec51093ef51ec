#!/usr/bin/env bash
# An audit: every model of a folder, and one suspect beside it, such as a service, by one fingerprint.
#
#   audit.sh FINGERPRINT MODELS SERVICE [OUTPUT]
#
# MODELS is what `cae scan` takes, SERVICE what `cae verify --suspect` takes: an address, recorded answers, a program.
# OUTPUT, a folder, keeps what was found: scan.jsonl, scan.json, scan.sarif and service.json. The same command goes on
# where it was interrupted; a service that was judged is not asked again.
#
# Exits with 3 where somebody is a surrogate, else 1 where something could not be done, else 4 where somebody is
# inconclusive, else 0.
set -u -o pipefail

[ $# -ge 3 ] || { sed -n '4p' "$0" | cut -c 5- >&2; exit 2; }
fingerprint=$1 models=$2 service=$3 output=${4:-audit}
cae=${CAE:-cae}

mkdir -p "$output" || exit 1

# shellcheck disable=SC2086 # $cae may be a command with arguments
$cae scan "$models" --fingerprint "$fingerprint" --output "$output/scan.jsonl" --sarif "$output/scan.sarif" \
    --json --exit-code >"$output/scan.json"
scanned=$?

asked=$(cat "$output/service.code" 2>/dev/null)
if [ -z "$asked" ]; then
    # shellcheck disable=SC2086
    $cae verify --suspect "$service" --fingerprint "$fingerprint" --json --exit-code >"$output/service.json"
    asked=$?
    case $asked in 0 | 3 | 4) echo "$asked" >"$output/service.code" ;; esac
fi

for code in 130 2 3 1 4; do
    if [ "$scanned" -eq "$code" ] || [ "$asked" -eq "$code" ]; then
        exit "$code"
    fi
done
[ "$scanned" -eq 0 ] && [ "$asked" -eq 0 ] || exit 1
