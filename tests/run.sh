# Builds and runs every test; installs what is missing first (samples/setup.sh says how).
# In: --long for the long runs as well (10,000 mutations, 5,000 random specs, every fuzz target for ANLAGE_FUZZ_SECONDS, 300: about an hour);
# ANLAGE_TESTS="unit layers conformance end_to_end sanitize fuzz" limits it. Out: build/, build-asan/, build/tests/log/, and as the last
# line "N passed, M failed" (and ", K skipped"); exit status 1 when something failed.
# A unit test counts as often as it has checks; scripts count by their lines `ok NAME`, `not ok NAME`, `skip NAME reason`.
set -u
cd "$(dirname "$0")/.." || exit 1
. samples/setup.sh

parts=${ANLAGE_TESTS:-unit layers conformance end_to_end sanitize}
patience=600 # seconds for a script
if [ "${1:-}" = --long ]; then
    parts=${ANLAGE_TESTS:-$parts fuzz}
    patience=20000
    ANLAGE_MUTATIONS=${ANLAGE_MUTATIONS:-10000} ANLAGE_SPECIMENS=${ANLAGE_SPECIMENS:-5000}
    export ANLAGE_MUTATIONS ANLAGE_SPECIMENS
elif [ -n "${1:-}" ]; then
    echo "usage: sh tests/run.sh [--long]" >&2
    exit 2
fi
wants() { case " $parts " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

anlage_install "driver:lvp_icd*.json mesa-vulkan-drivers
layer:VkLayer_khronos_validation.json vulkan-validationlayers
python:jsonschema python3-jsonschema
python:yaml python3-yaml
command:dot graphviz
command:dcmdump dcmtk
command:timeout coreutils
command:python3 python3
command:nvim neovim"

passed=0 failed=0 skipped=0
failures=
begin=$(date +%s)
say() { printf '[%4ss] %s\n' "$(($(date +%s) - begin))" "$1"; }
fail() {
    failed=$((failed + 1))
    failures="$failures
    $1"
}
finish() {
    [ -z "$failures" ] || printf 'failed:%s\n' "$failures"
    [ "$skipped" = 0 ] && more= || more=", $skipped skipped"
    say "done"
    echo "$passed passed, $failed failed$more"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
    exit
}

# What a stopped run leaves running is ended with it.
child=
trap 'trap - EXIT; [ -z "$child" ] || kill "$child" 2>/dev/null; exit 130' INT TERM

say "building in build/"
if ! anlage_build build -Dwerror=true; then
    fail "build"
    finish
fi

BUILD=$PWD/build
ANLAGE=$BUILD/frontend/anlage
logs=$BUILD/tests/log
rm -rf "$logs" "$BUILD/tests/cache"
mkdir -p "$logs" "$BUILD/tests/cache"
# A cache of our own: no test depends on what earlier runs left, none touches the user's.
XDG_CACHE_HOME=$BUILD/tests/cache
ANL_TEST_ROOT=$PWD
ANLAGE_BUILD=$BUILD
export BUILD ANLAGE ANLAGE_BUILD XDG_CACHE_HOME ANL_TEST_ROOT

# one SECONDS LOG command…: its status in $status, its output in LOG
one() {
    limit=$1 log=$2
    shift 2
    start=$(date +%s)
    timeout -k 10 "$limit" "$@" >"$log" 2>&1 &
    child=$!
    wait "$child"
    status=$?
    child=
    took=$(($(date +%s) - start))
}

# Unit test executables of a build, of one suite or all, as meson knows them.
unit_tests() { meson test -C "$1" --list ${2:+--suite "$2"} 2>/dev/null | grep -oE 'test_[a-z0-9_]+$' | sort -u; }

# run_unit FOLDER LABEL [suite]
run_unit() {
    folder=$1 label=$2
    tests=$(unit_tests "$folder" "${3:-}")
    [ -n "$tests" ] || fail "$label: no unit tests found in $folder"
    for test in $tests; do
        one 900 "$logs/$label-$test.log" "$folder/tests/unit/$test"
        # check's summary, e.g. "100%: Checks: 25, Failures: 0, Errors: 0"; one a suite runner
        counts=$(sed -n 's/^[0-9]*%: Checks: \([0-9]*\), Failures: \([0-9]*\), Errors: \([0-9]*\).*/\1 \2 \3/p' "$logs/$label-$test.log" |
            awk '{ checks += $1; bad += $2 + $3 } END { print checks + 0, bad + 0 }')
        checks=${counts% *} bad=${counts#* }
        passed=$((passed + checks - bad))
        skips=$(grep -c '^skip ' "$logs/$label-$test.log")
        skipped=$((skipped + skips))
        if [ "$bad" != 0 ]; then
            failed=$((failed + bad))
            grep -E ':[FE]:' "$logs/$label-$test.log" | head -n 20
            failures="$failures
    $label $test: $bad of $checks, see $logs/$label-$test.log"
        elif [ "$status" != 0 ] || [ "$checks" = 0 ]; then
            # a crash outside of a test, a time limit, a sanitizer's verdict at the end
            tail -n 20 "$logs/$label-$test.log"
            fail "$label $test: ended with status $status after $checks checks, see $logs/$label-$test.log"
        fi
        say "$label $test: $checks checks, $bad failed (${took}s)"
    done
}

# run_script FILE SECONDS [label]
run_script() {
    if [ ! -x "$ANLAGE" ]; then
        fail "$1: $ANLAGE was not built"
        return
    fi
    script=${3:+$3-}$(basename "$1" .sh)
    WORK=$BUILD/tests/work/$script
    rm -rf "$WORK"
    mkdir -p "$WORK"
    export WORK
    one "$2" "$logs/$script.log" sh "$1"
    good=$(grep -c '^ok ' "$logs/$script.log")
    bad=$(grep -c '^not ok ' "$logs/$script.log")
    skips=$(grep -c '^skip ' "$logs/$script.log")
    passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + skips))
    if [ "$bad" != 0 ]; then
        failures="$failures
$(sed -n 's/^not ok /    /p' "$logs/$script.log") (see $logs/$script.log)"
        tail -n 30 "$logs/$script.log"
    elif [ "$status" != 0 ] || [ $((good + skips)) = 0 ]; then
        tail -n 30 "$logs/$script.log"
        fail "$script: ended with status $status after $good results, see $logs/$script.log"
    else
        rm -rf "$WORK"
    fi
    say "$script: $good ok, $bad failed, $skips skipped (${took}s)"
    sed -n 's/^skip /       skipped: /p' "$logs/$script.log"
}

if wants layers; then # needs headers that the build makes
    run_script tests/layers.sh 120
fi

if wants unit; then
    run_unit build unit
fi

if wants conformance; then
    run_script tests/conformance/conformance.sh 600
fi

if wants end_to_end; then
    for script in tests/end_to_end/*.sh; do
        case $script in */common.sh) ;; *) [ -e "$script" ] && run_script "$script" "$patience" ;; esac
    done
fi

if wants sanitize; then
    say "building in build-asan/ (address and undefined-behaviour sanitizers)"
    ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:allocator_may_return_null=1
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    export ASAN_OPTIONS UBSAN_OPTIONS
    # gcc warns falsely of format strings under its sanitizers; the build above has had its warnings taken as errors
    if anlage_build build-asan -Dwerror=false -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1; then
        ANL_SANITIZED=1
        export ANL_SANITIZED
        BUILD=$PWD/build-asan
        ANLAGE=$BUILD/frontend/anlage ANLAGE_BUILD=$BUILD
        run_unit build-asan sanitized host
        run_script tests/end_to_end/specs.sh 600 sanitized # broken specs above all
        ANLAGE_MUTATIONS=100 ANLAGE_SPECIMENS=20
        export ANLAGE_MUTATIONS ANLAGE_SPECIMENS
        run_script tests/end_to_end/mutations.sh 600 sanitized
        run_script tests/end_to_end/specimens.sh 600 sanitized
    else
        fail "build-asan"
    fi
fi

if wants fuzz; then
    anlage_install "command:clang clang"
    unset ANL_SANITIZED
    run_script tests/fuzz/fuzz.sh 40000
fi

finish
