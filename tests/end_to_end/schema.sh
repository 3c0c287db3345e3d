#!/bin/sh
# `anlage schema`: valid JSON Schema; stock and accepted specs fit it, wrong keys do not; it has the reader's keys, no more and no fewer.
# In: ANLAGE; python3 with jsonschema and yaml (an independent validator), skipped without. Out: ok / not ok / skip lines.
. "$(dirname "$0")/common.sh"
check_fails "schema takes no arguments" 2 "no argument" "$anlage" schema --all
check "schema prints" "$anlage" schema
python=
for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import jsonschema, yaml' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    skip "the schema judged by a validator" "python3 has no jsonschema and yaml"
    exit $((failures > 0))
fi
"$python" "$root/tests/end_to_end/schema.py" "$anlage" "$root" "$work" || failures=1
exit $((failures > 0))
