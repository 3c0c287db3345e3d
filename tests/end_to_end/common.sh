# What the end-to-end tests share. Sourced, not run.
# In: ANLAGE (the executable; build/frontend/anlage). Out: functions; lines `ok NAME`, `not ok NAME`, `skip NAME reason`.
root=$(cd "$(dirname "$0")/../.." && pwd)
anlage=${ANLAGE:-$root/build/frontend/anlage}
build=${ANLAGE_BUILD:-$root/build}
work=$(mktemp -d "${TMPDIR:-/tmp}/anlage-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
failures=0

ok() { echo "ok $1"; }
not_ok() {
    echo "not ok $1${2:+: $2}"
    failures=$((failures + 1))
}
skip() { echo "skip $1 $2"; }
# check NAME COMMAND...: ok if the command succeeds; shows the end of its output otherwise.
check() {
    name=$1
    shift
    if "$@" > "$work/output" 2>&1; then
        ok "$name"
    else
        not_ok "$name" "status $?"
        tail -n 20 "$work/output" | sed 's/^/    /'
        return 1
    fi
}
# check_fails NAME STATUS TEXT COMMAND...: ok if the command ends with STATUS and says TEXT.
check_fails() {
    name=$1 expected=$2 text=$3
    shift 3
    status=0
    "$@" > "$work/output" 2>&1 || status=$?
    if [ "$status" -eq "$expected" ] && grep -qF -- "$text" "$work/output"; then
        ok "$name"
    else
        not_ok "$name" "status $status, expected $expected with \"$text\""
        tail -n 20 "$work/output" | sed 's/^/    /'
    fi
}
# losses FILE: the total loss of each step.
losses() { sed -n 's/.*"loss": \([-0-9.eE+]*\).*/\1/p' "$1"; }
# same_losses A B TOLERANCE: as many, and equal within a share.
same_losses() {
    losses "$1" > "$work/a.txt"
    losses "$2" > "$work/b.txt"
    paste "$work/a.txt" "$work/b.txt" | awk -v t="$3" '
        NF != 2 { print "one run has more steps"; bad = 1; exit }
        { d = $1 - $2; if (d < 0) d = -d; m = $1 < 0 ? -$1 : $1; if (d > t * m) { print "step " NR ": " $1 " and " $2; bad = 1 } if (d > w * m) w = d / m }
        END { if (NR == 0) { print "no losses"; bad = 1 } print NR " steps, largest relative difference " w; exit bad }'
}
have_vulkan() { "$anlage" devices 2>/dev/null | grep -q 'vulkan:'; }
last_checkpoint() { ls "$1"/checkpoints/step-*.h5 | tail -n 1; }
