#!/bin/sh
# The language's examples train: a few steps on random images on each device, with a finite loss.
# In: tests/specs/accepted. Out: ok / not ok / skip lines.
. "$(dirname "$0")/common.sh"

trains() { # SPEC DEVICE
    "$anlage" bench "$1" --device "$2" --steps 3 --warmup 1 $(grep -q '^  batch:\|[{ ]batch:' "$1" && echo --set batch=4) > "$work/bench" 2>&1 || { cat "$work/bench"; return 1; }
    grep -q 'loss -\{0,1\}[0-9]' "$work/bench" || { cat "$work/bench"; return 1; }
}
for spec in "$root"/tests/specs/accepted/*.yaml; do
    grep -q '^losses:' "$spec" || continue
    example=$(basename "$spec" .yaml)
    check "$example trains on the host" trains "$spec" host
    if have_vulkan; then
        check "$example trains on Vulkan" trains "$spec" vulkan
    else
        skip "$example on Vulkan" "no Vulkan device"
    fi
done
exit $((failures > 0))
