#!/bin/sh
# `anlage fmt` as a command: the stock specs have the canonical layout; --check, --diff, standard input, files that cannot be laid out.
# In: ANLAGE. Out: ok / not ok lines.
. "$(dirname "$0")/common.sh"
check "the stock specs have the canonical layout" "$anlage" fmt --check "$root/specs" "$root/tests/specs/accepted"
printf 'anlage:   1\n# why\nparams: {a : 1}\n' > "$work/a.yaml"
chmod 640 "$work/a.yaml"
cp "$work/a.yaml" "$work/kept.yaml"
check_fails "--check names what would change" 1 "a.yaml" "$anlage" fmt --check "$work/a.yaml"
check "--check changes nothing" cmp "$work/a.yaml" "$work/kept.yaml"
"$anlage" fmt --diff "$work/a.yaml" > "$work/diff"
"$anlage" fmt - < "$work/a.yaml" > "$work/laid.yaml"
check "a file is laid out in place" "$anlage" fmt "$work/a.yaml"
check "… as standard input is" cmp "$work/a.yaml" "$work/laid.yaml"
check "… and keeps its permissions" test "$(stat -c %a "$work/a.yaml")" = 640
if command -v patch > /dev/null; then
    check "--diff is a patch" sh -c "patch -s '$work/kept.yaml' '$work/diff' && cmp '$work/kept.yaml' '$work/a.yaml'"
else
    skip "--diff is a patch" "no patch command"
fi
printf 'anlage: 1\nparams: {a: 1\n' > "$work/b.yaml"
cp "$work/b.yaml" "$work/kept.yaml"
check_fails "what is no YAML is reported" 1 "A0101" "$anlage" fmt "$work/b.yaml"
check "… and left alone" cmp "$work/b.yaml" "$work/kept.yaml"
check_fails "a missing file" 1 "cannot read" "$anlage" fmt "$work/none.yaml"
mkdir "$work/empty"
check_fails "a folder without specs" 2 "no .yaml" "$anlage" fmt "$work/empty"
exit $((failures > 0))
