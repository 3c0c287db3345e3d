#!/bin/sh
# Training through the real command: phantoms packed, pretrained on both devices, killed and resumed, fine-tuned, evaluated.
# In: the built command. Out: ok / not ok / skip lines.
. "$(dirname "$0")/common.sh"

check "phantoms are made" "$build/samples/phantoms" "$work/images" 240 7 || exit 1
check "phantoms are packed" "$anlage" pack "$work/images" --labels "$work/images/labels.csv" --size 48 --out "$work/shards" || exit 1
check "a shard is shown" "$anlage" inspect "$work/shards/train-00000.h5"

pretrain() { # OUT DEVICE STEPS further arguments
    out=$1 device=$2 steps=$3
    shift 3
    "$anlage" train "$root/specs/pretrain/swav.yaml" --out "$out" --device "$device" --stop-after "$steps" --set shards="$work/shards/train-*.h5" \
        --set input=48 --set size=32 --set local_size=16 --set batch=16 --set width=8 --set clusters=32 --set epochs=20 --set lr=0.02 "$@"
}

check "pretraining runs on the host" pretrain "$work/host" host 40
if grep -Eq ' 40 steps in [0-9.]+ s; waited for data [0-9.]+ s \([0-9.]+ %\)$' "$work/output" &&
    [ "$(grep -Ec '"waited": [0-9.e-]+}$' "$work/host/metrics.jsonl")" -eq 40 ]; then
    ok "it says how long it waited for data"
else
    not_ok "it says how long it waited for data" "$(tail -n 2 "$work/output")"
fi
check "the run keeps its recipe" "$anlage" lint "$work/host/spec.yaml"

# Determinism: one thread or two, the same bits.
check "one thread gives the same run" pretrain "$work/one" host 40 --threads 1
if cmp -s "$(last_checkpoint "$work/host")" "$(last_checkpoint "$work/one")"; then ok "weights do not depend on the number of threads"; else not_ok "weights do not depend on the number of threads"; fi

# Stopped in the middle and resumed.
check "a run stops with a checkpoint" pretrain "$work/parts" host 17
check "it is resumed" pretrain "$work/parts" host 23 --resume
if cmp -s "$(last_checkpoint "$work/host")" "$(last_checkpoint "$work/parts")"; then ok "a resumed run ends with the same bits"; else not_ok "a resumed run ends with the same bits"; fi
check "its metrics are whole" same_losses "$work/host/metrics.jsonl" "$work/parts/metrics.jsonl" 0

# Killed at a random step (by the clock) and resumed.
pretrain "$work/killed" host 40 --set checkpoint_every=5it > "$work/log" 2>&1 &
victim=$!
while kill -0 $victim 2>/dev/null && ! ls "$work"/killed/checkpoints/step-*.h5 > /dev/null 2>&1; do sleep 0.05; done
sleep 0.3
kill -9 $victim 2>/dev/null
wait $victim 2>/dev/null
check "a killed run is resumed" pretrain "$work/killed" host 400 --resume --set checkpoint_every=5it
check "an unbroken run of the same length" pretrain "$work/unbroken" host 400 --set checkpoint_every=5it
end=$(basename "$(last_checkpoint "$work/unbroken")")
if cmp -s "$work/killed/checkpoints/$end" "$work/unbroken/checkpoints/$end"; then ok "a killed and resumed run ends with the same bits"; else
    not_ok "a killed and resumed run ends with the same bits"
    ls "$work/killed/checkpoints" "$work/unbroken/checkpoints" | sed 's/^/    /'
fi

# What goes wrong is said as what it is.
cat > "$work/stuck.yaml" <<'END'
anlage: 1
title: Scores that say nothing
import: [lib/layers.yaml, lib/optimize.yaml]
params: {batch: 4, shards: {default: "", type: text}}
data: {train: {shards: shards, fields: {image: {axes: {channel: 1, y: 48, x: 48}}}}}
modules: {head: "linear(from=channel, to=cluster, size=7)"}
graph:
  scores: head(mean(image, over=[y, x])) * 0
losses:
  nothing: {value: "mean(logsumexp(scores, over=cluster), over=batch)"}
train:
  length: 250it
  optimizer: [{weights: "*", rule: "sgd(lr=0.1)"}]
END
"$anlage" train "$work/stuck.yaml" --out "$work/stuck" --device host --set shards="$work/shards/train-*.h5" > "$work/output" 2>&1
if grep -q 'A0905.*ln 7' "$work/output"; then ok "a loss that stays at ln K is told"; else
    not_ok "a loss that stays at ln K is told"
    tail -n 5 "$work/output"
fi
sed 's/mean(logsumexp(scores, over=cluster), over=batch)/mean(log(scores - 1), over=all)/' "$work/stuck.yaml" > "$work/nan.yaml"
check_fails "a loss that is not finite is told" 1 "is not a finite number" "$anlage" train "$work/nan.yaml" --out "$work/nan" --device host --set shards="$work/shards/train-*.h5"
check_fails "a run folder is not overwritten" 1 "already holds a run" pretrain "$work/host" host 5
check_fails "another recipe is not resumed" 1 "is not the one" pretrain "$work/host" host 5 --resume --set batch=8
cp -r "$work/host" "$work/broken"
printf 'garbage' > "$(last_checkpoint "$work/broken")"
check_fails "a damaged checkpoint is told" 1 "not an HDF5 file" "$anlage" run "$root/specs/pretrain/swav.yaml" --weights "$(last_checkpoint "$work/broken")" --fetch loss --out "$work/x.h5" \
    --set input=48 --set size=32 --set local_size=16 --set batch=16 --set width=8 --set clusters=32
mkdir "$work/lost" && cp -r "$work/host/." "$work/lost" && for f in "$work"/lost/checkpoints/*.h5; do printf 'garbage' > "$f"; done
check_fails "a run without a whole checkpoint is not begun anew" 1 "can be read" pretrain "$work/lost" host 5 --resume
check "its metrics are as they were" cmp "$work/host/metrics.jsonl" "$work/lost/metrics.jsonl"
cramped() (trap '' XFSZ && ulimit -f 100 && pretrain "$@") # no file grows beyond 50 KiB, as on a full disk
check_fails "a full disk is told" 1 "could not be written: File too large" cramped "$work/cramped" host 3
check "a full disk leaves no part of a checkpoint" sh -c "[ -z \"\$(ls '$work/cramped/checkpoints')\" ]"
check "the run goes on when there is room" pretrain "$work/cramped" host 3 --resume

if have_vulkan; then
    # Few steps: with so few images a step, rounding grows a thousandfold in ten steps more. ct_ich.sh compares fifty on real ones.
    check "pretraining runs on Vulkan, validated" pretrain "$work/vulkan" vulkan 10 --validate
    head -n 10 "$work/host/metrics.jsonl" > "$work/first.jsonl"
    check "host and Vulkan agree to 1e-3" same_losses "$work/first.jsonl" "$work/vulkan/metrics.jsonl" 1e-3
    check "Vulkan stops with a checkpoint" pretrain "$work/vulkan-parts" vulkan 4 --validate
    check "Vulkan resumes" pretrain "$work/vulkan-parts" vulkan 6 --resume --validate
    if cmp -s "$(last_checkpoint "$work/vulkan")" "$(last_checkpoint "$work/vulkan-parts")"; then ok "a run resumed on Vulkan ends with the same bits"; else not_ok "a run resumed on Vulkan ends with the same bits"; fi
else
    skip "pretraining on Vulkan" "no Vulkan device"
fi

finetune() { # OUT further arguments
    out=$1
    shift
    "$anlage" train "$root/specs/finetune/classify.yaml" --out "$out" --device host --set shards="$work/shards/train-*.h5" --set valid="$work/shards/valid-*.h5" \
        --set test="$work/shards/test-*.h5" --set label=lesion --set input=48 --set size=48 --set batch=16 --set width=8 --set epochs=2 "$@"
}
check "fine-tuning from scratch" finetune "$work/scratch"
check "fine-tuning from the pretrained encoder" finetune "$work/tuned" --set pretrained="$work/host"
check "evaluation gives an AUC with its interval" sh -c "'$anlage' eval '$work/tuned/spec.yaml' --checkpoint '$work/tuned' --json --device host | grep -q '\"value\": 0\\.[0-9]*, \"low\": 0'"
# Clustering of all images and classification of some in one step, from the pretrained encoder.
check "hybrid training from the pretrained encoder" "$anlage" train "$root/specs/hybrid/swav_classify.yaml" --out "$work/hybrid" --device host \
    --set shards="$work/shards/train-*.h5" --set valid="$work/shards/valid-*.h5" --set test="$work/shards/test-*.h5" --set label=lesion --set labelled=0.5 \
    --set input=48 --set size=32 --set local_size=16 --set batch=16 --set width=8 --set clusters=32 --set epochs=2 --set evaluate_every=1ep --set pretrained="$work/host"
grep -q '"loss.clustering": [0-9.]*, "loss.findings": [0-9.]*' "$work/hybrid/metrics.jsonl" && ok "has both losses" || not_ok "has both losses"
grep -q 'valid at step .*: auc.lesion 0\.' "$work/output" && ok "and an AUC on the way" || not_ok "and an AUC on the way"
check_fails "a missing checkpoint is told" 1 "cannot be read" finetune "$work/missing" --set pretrained="$work/nothing.h5"
exit $((failures > 0))
