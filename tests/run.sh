# Builds and runs every test; installs what is missing first (samples/setup.sh says how).
# In: --long for the long runs as well (10,000 mutations, 5,000 random specs, every fuzz target for ANLAGE_FUZZ_SECONDS, 300: about an hour);
# ANLAGE_TESTS="unit layers conformance end_to_end sanitize fuzz" limits it; ANLAGE_JOBS tests run at once (default: one a processor).
# Out: build/, build-asan/, build/tests/log/, and as the last line "N passed, M failed" (and ", K skipped"); exit status 1 when something
# failed. tests/job.sh says how tests are counted.
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
command:nifti_tool nifti-bin
command:tiffcp libtiff-tools
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
stop() {
    trap - EXIT
    [ -z "$child" ] || kill "$child" 2>/dev/null
    for running in "$results"/running.*; do
        [ -e "$running" ] && kill "$(cat "$running")" 2>/dev/null
    done
    exit 130
}
child= results=build/tests/results
trap stop INT TERM

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

results=$BUILD/tests/results
rm -rf "$results"
mkdir -p "$results"
export logs results begin
CK_TIMEOUT_MULTIPLIER=4 # tests share the processors
export CK_TIMEOUT_MULTIPLIER

# Unit test executables of a build, of one suite or all, as meson knows them.
unit_tests() { meson test -C "$1" --list ${2:+--suite "$2"} 2>/dev/null | grep -oE 'test_[a-z0-9_]+$' | sort -u; }

# Jobs are lines "LABEL FILE SECONDS" for tests/job.sh: those that take long come first, so that none is left over at the end.
first() { # words that files' names may hold, in order; the jobs from standard input
    jobs=$(cat)
    for word in "$@"; do
        printf '%s\n' "$jobs" | grep -- "$word"
        jobs=$(printf '%s\n' "$jobs" | grep -v -- "$word")
    done
    printf '%s\n' "$jobs"
}

# The jobs of a file, as many at once as there are processors; adds up what they say.
run_jobs() {
    grep . "$1" | xargs -P "${ANLAGE_JOBS:-$(getconf _NPROCESSORS_ONLN)}" -L 1 sh tests/job.sh &
    child=$!
    wait "$child"
    child=
    for result in "$results"/*.result; do
        [ -e "$result" ] || continue
        read -r good bad skips <"$result"
        passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + skips))
        [ "$bad" = 0 ] || failures="$failures
$(sed 1d "$result")"
        rm -f "$result"
    done
}

{
    if wants layers; then # needs headers that the build makes
        echo "- tests/layers.sh 120"
    fi
    if wants unit; then
        tests=$(unit_tests build)
        for test in ${tests:-none_found}; do
            echo "unit build/tests/unit/$test 900"
        done
    fi
    if wants conformance; then
        echo "- tests/conformance/conformance.sh 900"
    fi
    if wants end_to_end; then
        for script in tests/end_to_end/*.sh; do
            case $script in */common.sh) ;; *) echo "- $script $patience" ;; esac
        done
    fi
} | first test_vulkan conformance examples ct_ich mutations train >"$results/jobs"
run_jobs "$results/jobs"

if wants sanitize; then
    say "building in build-asan/ (address and undefined-behaviour sanitizers)"
    ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:allocator_may_return_null=1
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    export ASAN_OPTIONS UBSAN_OPTIONS
    # gcc warns falsely of format strings under its sanitizers; the build above has had its warnings taken as errors
    # lines are enough to find a place by: the rest of what -g says takes a third of the time
    if anlage_build build-asan -Dwerror=false -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 -Ddebug=false -Dc_args=-g1 -Dcpp_args=-g1; then
        ANL_SANITIZED=1
        export ANL_SANITIZED
        BUILD=$PWD/build-asan
        ANLAGE=$BUILD/frontend/anlage ANLAGE_BUILD=$BUILD
        ANLAGE_MUTATIONS=100 ANLAGE_SPECIMENS=20
        export ANLAGE_MUTATIONS ANLAGE_SPECIMENS
        {
            tests=$(unit_tests build-asan host)
            for test in ${tests:-none_found}; do
                echo "sanitized build-asan/tests/unit/$test 900"
            done
            for script in specs mutations specimens; do # broken specs above all
                echo "sanitized tests/end_to_end/$script.sh 600"
            done
        } | first test_host test_spec test_explain test_data test_compile mutations specimens >"$results/jobs"
        run_jobs "$results/jobs"
    else
        fail "build-asan"
    fi
fi

if wants fuzz; then
    anlage_install "command:clang clang"
    unset ANL_SANITIZED
    BUILD=$PWD/build
    ANLAGE=$BUILD/frontend/anlage ANLAGE_BUILD=$BUILD
    echo "- tests/fuzz/fuzz.sh 40000" >"$results/jobs"
    run_jobs "$results/jobs"
fi

finish
