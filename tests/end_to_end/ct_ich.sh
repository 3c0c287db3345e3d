#!/bin/sh
# Real images: head CT slices pretrained at 96 pixels on both devices from the same weights, then fine-tuned.
# In: ../shared/data/ct_ich, skipped where absent. Out: ok / not ok / skip lines.
. "$(dirname "$0")/common.sh"
data=$root/../shared/data/ct_ich
if [ ! -d "$data" ]; then
    skip "head CT" "../shared/data/ct_ich is absent"
    exit 0
fi
check "head CT is packed at 96 pixels" "$anlage" pack "$data" --labels "$data/labels.csv" --size 96 --out "$work/shards" || exit 1
pretrain() {
    out=$1
    shift
    "$anlage" train "$root/specs/pretrain/swav.yaml" --out "$out" --set shards="$work/shards/train-*.h5" --set batch=32 --set width=16 --set clusters=100 --stop-after 50 "$@"
}
check "pretraining on the host" pretrain "$work/host" --device host
if have_vulkan; then
    check "pretraining on Vulkan" pretrain "$work/vulkan" --device vulkan
    check "the loss curves agree to 1e-3 over 50 steps" same_losses "$work/host/metrics.jsonl" "$work/vulkan/metrics.jsonl" 1e-3
else
    skip "pretraining on Vulkan" "no Vulkan device"
fi
check "fine-tuning on hemorrhage" "$anlage" train "$root/specs/finetune/classify.yaml" --out "$work/tuned" --device host --set shards="$work/shards/train-*.h5" \
    --set valid="$work/shards/valid-*.h5" --set test="$work/shards/test-*.h5" --set label=y --set input=96 --set size=64 --set batch=32 --set width=16 --set epochs=1 \
    --set pretrained="$work/host"
check "a test AUC by patient" sh -c "'$anlage' eval '$work/tuned/spec.yaml' --checkpoint '$work/tuned' --json --device host | grep -q '\"value\": 0\\.'"
exit $((failures > 0))
