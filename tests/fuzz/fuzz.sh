#!/bin/sh
# Every fuzz target for a time, from its corpus; those of specs from all specs of the tree, too.
# In: $1 or ANLAGE_FUZZ_SECONDS: seconds for each target (300); ANLAGE_FUZZ_TARGETS: which (all); ANLAGE_FUZZ_BUILD: the build (build-fuzz, made
# if needed; clang). Out: lines `ok fuzz NAME: …` with executions and coverage, `not ok …`, `skip …`; what was found lies in $WORK.
. "$(dirname "$0")/../end_to_end/common.sh"
seconds=${1:-${ANLAGE_FUZZ_SECONDS:-300}}
targets=${ANLAGE_FUZZ_TARGETS:-yaml expression lint format editor frames dicom nifti tiff png jpeg shard manifest}
folder=${ANLAGE_FUZZ_BUILD:-$root/build-fuzz}
found=${WORK:-$work}
if ! command -v clang > /dev/null; then
    skip "fuzz" "no clang"
    exit 0
fi
cd "$root" || exit 1
[ -f "$folder/build.ninja" ] ||
    CC=clang CXX=clang++ meson setup "$folder" -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 > "$work/setup.log" 2>&1 ||
    { cat "$work/setup.log"; not_ok "fuzz: setup"; exit 1; }
programs=
for name in $targets; do
    programs="$programs tests/fuzz/fuzz_$name"
    [ "$name" != dicom ] || programs="$programs engine/data/anlage_dicom.so"
done
ninja -C "$folder" $programs > "$work/build.log" 2>&1 || { tail -n 30 "$work/build.log"; not_ok "fuzz: build"; exit 1; }

# Seeds: every spec as it is; for expressions, what stands behind the keys of all specs.
mkdir -p "$work/specs" "$work/expressions" "$work/none"
for spec in "$root"/specs/*/*.yaml "$root"/tests/specs/*/*.yaml "$root"/tests/harness/found/*.yaml; do
    [ -e "$spec" ] && cp "$spec" "$work/specs/$(echo "${spec#"$root"/}" | tr / _)"
done
sed -n 's/^ *-\{0,1\} *[a-z_0-9]*: \{1,\}\([^{>|#].*\)$/\1/p; s/^ *- \([^{#].*\)$/\1/p' "$root"/specs/*/*.yaml "$root"/tests/specs/accepted/*.yaml | sort -u |
    split -l 1 -a 4 - "$work/expressions/e"

ANLAGE_SPECS=$root/specs
ASAN_OPTIONS=allocator_may_return_null=1
UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export ANLAGE_SPECS ASAN_OPTIONS UBSAN_OPTIONS
for name in $targets; do
    seeds=$work/none limit=6000 memory=4096 words= leaks=1
    case $name in
    expression) seeds=$work/expressions limit=1000 words=1 ;;
    frames) limit=4000 words=1 ;;
    yaml | lint | format | editor) seeds=$work/specs words=1 ;;
    shard) limit=24000 memory=2048 leaks=0 ;; # HDF5 1.10 forgets memory when a file is damaged
    *) memory=2048 ;;
    esac
    mkdir -p "$work/new-$name"
    # Who asks for more memory than may be used gets none, as from a machine that has no more.
    if ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=$leaks:max_allocation_size_mb=$memory "$folder/tests/fuzz/fuzz_$name" "$work/new-$name" "$root/tests/fuzz/corpus/$name" "$seeds" \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=$memory -max_len=$limit ${words:+-dict="$root/tests/fuzz/words.dict"} -artifact_prefix="$found/$name-" -print_final_stats=1 > "$work/$name.log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$name.log")
        covered=$(sed -n 's/.*cov: \([0-9]*\) ft: \([0-9]*\) corp: \([0-9]*\).*/\1 edges, \2 features, \3 texts/p' "$work/$name.log" | tail -n 1)
        ok "fuzz $name: $runs executions in $seconds s, $covered"
    else
        not_ok "fuzz $name"
        grep -aE 'ERROR|SUMMARY|runtime error|Test unit written|^    #[0-9] ' "$work/$name.log" | head -n 30
        tail -n 5 "$work/$name.log"
    fi
done
exit $((failures > 0))
