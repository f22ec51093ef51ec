#!/bin/sh
# Verify model files, and fail where one is judged to be derived from the source.
#
#     CAE_FINGERPRINT=fingerprint.safetensors sh verify-models.sh model.onnx other.onnx
#
# CAE_FINGERPRINT  the fingerprint's file; calibrate it, or its verdicts have no error rate
# CAE_VERDICTS     the folder for verdicts and in-toto statements; default: verdicts
# CAE_STRICT       1: fail where a verdict is inconclusive, too
#
# Exit codes: 0 no file is judged to be derived; 3 at least one is; 1 a file could not be verified; 4 inconclusive, with CAE_STRICT=1.
set -u

fingerprint=${CAE_FINGERPRINT:?name the file of the fingerprint}
folder=${CAE_VERDICTS:-verdicts}
mkdir -p "$folder" || exit 1

number=0 surrogates=0 failed=0 inconclusive=0
for model in "$@"; do
    case $model in -*) model=./$model ;; esac
    number=$((number + 1))
    record=$folder/$number-$(basename "$model").json
    cae verify --suspect "$model" --fingerprint "$fingerprint" --no-ledger --json --exit-code >"$record"
    case $? in
    0) words="independent: no evidence of derivation was found" ;;
    3) words="surrogate: judged to be derived from the source" surrogates=$((surrogates + 1)) ;;
    4) words="inconclusive" inconclusive=$((inconclusive + 1)) ;;
    *) words="" failed=$((failed + 1)) ;;
    esac
    if [ -z "$words" ]; then
        rm -f "$record"
        echo "$model: it could not be verified"
        continue
    fi
    statement=${record%.json}.statement.json
    cae statement --verdict "$record" --fingerprint "$fingerprint" --output "$statement" >/dev/null || failed=$((failed + 1))
    echo "$model: $words ($record)"
done

[ "$surrogates" -eq 0 ] || exit 3
[ "$failed" -eq 0 ] || exit 1
[ "$inconclusive" -eq 0 ] || [ "${CAE_STRICT:-0}" != 1 ] || exit 4
exit 0
