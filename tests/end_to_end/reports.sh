#!/bin/sh
# Reports for programs: JSON is as specs/README.md describes it, SARIF has what version 2.1.0 requires.
# In: ANLAGE; python3 with jsonschema (an independent validator), skipped without. ANLAGE_SARIF_SCHEMA: the published sarif-schema-2.1.0.json, where
# it is at hand; else sarif.json beside this file, its requirements for what is written here. Out: ok / not ok / skip lines.
. "$(dirname "$0")/common.sh"
python=
for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import jsonschema' 2> /dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    skip "the reports judged by a validator" "python3 has no jsonschema"
    exit 0
fi
"$python" "$root/tests/end_to_end/reports.py" "$anlage" "$root" "$work" "${ANLAGE_SARIF_SCHEMA:-$root/tests/end_to_end/sarif.json}"
