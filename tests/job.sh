# One test of tests/run.sh: a program of unit tests or a script.
# In: LABEL (unit, sanitized, or - for none), FILE, SECONDS that it may take; the variables that run.sh exports. Out: a line that says how it
# went, with what failed before it; $logs/NAME.log; $results/NAME.result: "PASSED FAILED SKIPPED", then lines for what failed.
# A unit test counts as often as it has checks; scripts count by their lines `ok NAME`, `not ok NAME`, `skip NAME reason`.
set -u
label=$1 file=$2 limit=$3
name=$(basename "$file" .sh)
[ "$label" = - ] && label= || label="$label "
id=$(printf '%s' "$label" | tr ' ' -)$name
log=$logs/$id.log
good=0 bad=0 skips=0 status=0 why=

start=$(date +%s)
run() {
    timeout -k 10 "$limit" "$@" >"$log" 2>&1 &
    echo $! >"$results/running.$$"
    wait $!
    status=$?
    rm -f "$results/running.$$"
}

case $file in
*.sh)
    if [ -x "$ANLAGE" ]; then
        WORK=$BUILD/tests/work/$id
        rm -rf "$WORK"
        mkdir -p "$WORK"
        export WORK
        run sh "$file"
        good=$(grep -c '^ok ' "$log")
        bad=$(grep -c '^not ok ' "$log")
        why=$(sed -n 's/^not ok /    /p' "$log")
        count="$good ok"
    else
        why="    $ANLAGE was not built" bad=1 count="not run"
        : >"$log"
    fi
    ;;
*)
    run "$file"
    # check's summary, e.g. "100%: Checks: 25, Failures: 0, Errors: 0"; one a suite runner
    counts=$(sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\).*/\1 \2 \3/p' "$log" |
        awk '{ checks += $1; bad += $2 + $3 } END { print checks + 0, bad + 0 }')
    bad=${counts#* } good=$((${counts% *} - bad))
    why=$(grep -E ':[FE]:' "$log" | head -n 20 | sed 's/^/    /')
    count="${counts% *} checks"
    ;;
esac
skips=$(grep -c '^skip ' "$log")
# a crash outside of a test, a time limit, a sanitizer's verdict at the end
if [ "$bad" = 0 ] && { [ "$status" != 0 ] || [ $((good + skips)) = 0 ]; }; then
    bad=1
    why="    $label$name: ended with status $status after $count"
fi
{
    echo "$good $bad $skips"
    [ "$bad" = 0 ] || printf '%s (see %s)\n' "$why" "$log"
} >"$results/$id.result"
[ "$bad" != 0 ] || rm -rf "$BUILD/tests/work/$id"

# in one piece, since other jobs write, too
now=$(date +%s)
printf '%s\n' "$(
    [ "$bad" = 0 ] || tail -n 30 "$log"
    printf '[%4ss] %s%s: %s, %s failed' "$((now - begin))" "$label" "$name" "$count" "$bad"
    [ "$skips" = 0 ] || printf ', %s skipped' "$skips"
    printf ' (%ss)\n' "$((now - start))"
    sed -n 's/^skip /       skipped: /p' "$log"
)"
exit 0
