#!/bin/sh
# Every spec of the corpora through `anlage lint`: accepted ones pass without a word; rejected and warned ones
# give exactly the errors and warnings that they promise.
# In: the executable ($1, else $ANLAGE, else build/frontend/anlage). Out: a line `ok NAME` or `not ok NAME` for each spec; exit 1 if any is not.
# A spec promises with lines `# expect: [FILE:]LINE:COLUMN CODE` in itself or in NAME.expect beside it.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
anlage=$(realpath "${1:-${ANLAGE:-$root/build/frontend/anlage}}")
failed=0
report=$(mktemp)
trap 'rm -f "$report"' EXIT

not_ok() {
    echo "not ok $1"
    failed=1
    sed 's/^/    /' "$report"
}

for spec in "$root"/tests/specs/accepted/*.yaml "$root"/specs/lib/*.yaml "$root"/specs/pretrain/*.yaml "$root"/specs/finetune/*.yaml "$root"/specs/hybrid/*.yaml \
    "$root"/specs/hybrid/*.yaml; do
    [ -e "$spec" ] || continue
    name=${spec#"$root"/}
    "$anlage" lint "$spec" >"$report" 2>&1
    status=$?
    if [ $status -eq 0 ] && [ ! -s "$report" ]; then
        echo "ok $name"
    else
        echo "exit status $status" >>"$report"
        not_ok "$name"
    fi
done

# promised FOLDER STATUS KIND: specs that give exactly the promised errors or warnings, and this exit status.
promised() {
    cd "$root/tests/specs/$1" || exit 1
    for spec in *.yaml; do
        name=tests/specs/$1/$spec
        promise=$spec
        [ -e "$spec.expect" ] && promise=$spec.expect
        # A place without a file is in the spec itself. LC_ALL: one spec is no valid UTF-8, and order must not depend on the locale.
        expected=$(LC_ALL=C sed -n 's/^# expect: //p' "$promise" | LC_ALL=C sed -E "s|^([0-9]+:[0-9]+ )|$spec:\\1|" | LC_ALL=C sort)
        "$anlage" lint "$spec" >"$report" 2>&1
        status=$?
        found=$(LC_ALL=C sed -nE "s/^([^ ]+\.yaml:[0-9]+:[0-9]+): $3\[(A[0-9]+)\].*/\1 \2/p" "$report" | LC_ALL=C sort)
        if [ $status -eq "$2" ] && [ -n "$expected" ] && [ "$expected" = "$found" ]; then
            echo "ok $name"
        else
            printf 'exit status %s, expected:\n%s\n' "$status" "$expected" >>"$report"
            not_ok "$name"
        fi
    done
}
promised rejected 1 error
promised warned 0 warning
exit $failed
