#!/bin/sh
# The language's examples train: a queue with a momentum teacher, two losses with missing labels, optimizer rules with phases, the residual block.
# In: the built command. Out: ok / not ok lines.
. "$(dirname "$0")/common.sh"
specs=$root/tests/specs/accepted

check "phantoms are made" "$build/samples/phantoms" "$work/images" 60 11 || exit 1
check "phantoms are packed" "$anlage" pack "$work/images" --labels "$work/images/labels.csv" --size 48 --out "$work/shards" || exit 1

example() { # NAME OUT further arguments
    example=$1 out=$2
    shift 2
    "$anlage" train "$specs/$example.yaml" --out "$work/$out" --device host --set shards="$work/shards/train-*.h5" "$@"
}
# The spec a run keeps: it reads without errors, and printing it again gives the same text.
kept() {
    "$anlage" lint --print "$work/$1/spec.yaml" > "$work/again.yaml" 2> "$work/output" && cmp "$work/again.yaml" "$work/$1/spec.yaml"
}
all_finite() { losses "$1" | awk '$1 + 0 != $1 || $1 ~ /[nN][aA][nN]|[iI][nN][fF]/ { bad = 1 } END { exit bad || NR == 0 }'; }

for which in queue hybrid optimizer_rule blocks; do
    check "$which.yaml trains" example $which $which
    check "$which.yaml has finite losses" all_finite "$work/$which/metrics.jsonl"
    check "the run of $which.yaml keeps a spec that reads back" kept $which
done

# The state of the queue and the teacher is part of what is resumed.
check "the queue's run stops" example queue parts --stop-after 3
check "the queue's run is resumed" example queue parts --resume
if cmp -s "$(last_checkpoint "$work/queue")" "$(last_checkpoint "$work/parts")"; then ok "the queue and the teacher end with the same bits"; else
    not_ok "the queue and the teacher end with the same bits"
fi
# Params of a spec that imports another reach into it.
printf 'anlage: 1\nimport: %s/queue.yaml\nparams: {memory: 64}\ntrain: {length: 3it}\n' "$specs" > "$work/small.yaml"
check "a spec extends another" "$anlage" train "$work/small.yaml" --out "$work/small" --device host --set shards="$work/shards/train-*.h5"
if [ "$(losses "$work/small/metrics.jsonl" | wc -l)" -eq 3 ]; then ok "its own length counts"; else not_ok "its own length counts"; fi
trains() { # SPEC DEVICE
    "$anlage" bench "$1" --device "$2" --steps 3 --warmup 1 $(grep -q '^  batch:\|[{ ]batch:' "$1" && echo --set batch=4) > "$work/bench" 2>&1 || { cat "$work/bench"; return 1; }
    grep -q 'loss -\{0,1\}[0-9]' "$work/bench" || { cat "$work/bench"; return 1; }
}
for spec in "$root"/tests/specs/accepted/*.yaml; do
    grep -q '^losses:' "$spec" || continue
    one=$(basename "$spec" .yaml)
    check "$one trains on the host" trains "$spec" host
    if have_vulkan; then
        check "$one trains on Vulkan" trains "$spec" vulkan
    else
        skip "$one on Vulkan" "no Vulkan device"
    fi
done
exit $((failures > 0))
