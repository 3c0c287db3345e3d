#!/bin/sh
# Recorded sessions with the language server, replayed against `anlage lsp`; what differs is shown.
# In: ANLAGE, tests/end_to_end/lsp/*.session. Out: ok / not ok lines.
. "$(dirname "$0")/common.sh"
if "$anlage" --version | grep -q 'cJSON none'; then
    check_fails "lsp without cJSON" 2 "without cJSON" "$anlage" lsp
    skip lsp "built without cJSON"
    exit $((failures > 0))
fi
command -v python3 > /dev/null || { skip lsp "no python3"; exit 0; }
for session in "$root"/tests/end_to_end/lsp/*.session; do
    rm -rf "$work/folder"
    cp -r "$root/tests/end_to_end/lsp" "$work/folder"
    python3 "$root/tests/end_to_end/lsp_replay.py" "$session" "$work/folder" "$anlage" lsp || failures=$((failures + 1))
done
rm -rf "$work/folder"
cp -r "$root/tests/end_to_end/lsp" "$work/folder"
python3 "$root/tests/end_to_end/lsp_edits.py" "${ANLAGE_EDITS:-10000}" "$work/folder" "$anlage" lsp || failures=$((failures + 1))
exit $((failures > 0))
