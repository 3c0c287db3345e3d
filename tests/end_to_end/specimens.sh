#!/bin/sh
# Random specs that are right (tests/harness/specimens.c): they lint, are laid out and printed without a change of meaning, and compile to
# programs that the second checker accepts.
# In: ANLAGE_BUILD; ANLAGE_SPECIMENS, their number (300). Out: ok / not ok lines.
. "$(dirname "$0")/common.sh"
count=${ANLAGE_SPECIMENS:-300}
if WORK=$work ANL_TEST_ROOT=$root "$build/tests/harness/specimens" "$count" > "$work/report" 2>&1; then
    ok "specimens: $(grep -m 1 ' specs, ' "$work/report")"
else
    not_ok "$count specimens"
    cat "$work/report"
    for spec in "$work"/specimen-*.yaml; do
        [ -e "$spec" ] && echo "== $spec" && cat "$spec" && break
    done
fi
exit $((failures > 0))
