#!/bin/sh
# Single-token mutations of the stock specs, each linted (tests/harness/mutations.c): none crashes, and most that change the meaning are
# reported at their place.
# In: ANLAGE_BUILD; ANLAGE_MUTATIONS, their number (1000). Out: ok / not ok lines.
. "$(dirname "$0")/common.sh"
count=${ANLAGE_MUTATIONS:-1000}
ANL_TEST_ROOT=$root "$build/tests/harness/mutations" "$count" --list > "$work/report" 2>&1
status=$?
tail -n 16 "$work/report" | grep -v "^    "
if [ $status -eq 0 ]; then
    ok "mutations: $(tail -n 1 "$work/report")"
else
    not_ok "$count mutations" "status $status"
    cat "$work/report"
fi
exit $((failures > 0))
