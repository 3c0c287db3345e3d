#!/bin/sh
# Preview sheets: what is on them, against the images that were packed and the values that are said to have been drawn.
# In: the executable (see common.sh), python3. Out: a line `ok NAME`, `not ok NAME` or `skip NAME reason` per check; exit 1 if any is not.
set -u
. "$(dirname "$0")/common.sh"
look() { python3 "$root/tests/end_to_end/preview_check.py" "$@"; }

mkdir "$work/images"
check "images are made" look make "$work/images" || exit 1
check "images are packed" "$anlage" pack "$work/images" --labels "$work/images/labels.csv" --size 16 --split 1,0,0 --out "$work/shards" || exit 1
cat > "$work/spec.yaml" << EOF
anlage: 1
title: Bright & dark
import: [lib/augment.yaml, lib/layers.yaml, lib/optimize.yaml]
params:
  batch: {default: 64, range: [2, 8192], unit: images}
data:
  train:
    shards: $work/shards/train-*.h5
    fields:
      image: {axes: {channel: 1, y: 16, x: 16}}
functions:
  moved_by:
    inputs: {image: [channel, ~space]}
    params: {std: 0.1}
    returns: image + normal(std=std)
views:
  bright:
    - image
    - replicate: {view: 2}
    - random_intensity: {gain: [0.5, 0.9]}
  moved:
    - image
    - moved_by
  together:
    - image
    - _ + normal(std=0.1)
graph:
  score: linear(mean(bright[view=0] + moved + together, over=[y, x]), from=channel, to=feature, size=2)
losses:
  least: {value: "mean(score, over=all)"}
train:
  length: 10it
  optimizer: [{weights: "*", rule: "sgd(lr=0.1)"}]
EOF
preview() { "$anlage" preview "$work/spec.yaml" --device host "$@"; }

check "a sheet as HTML" preview -o "$work/sheet.html" --samples 3
check "it shows the samples' own pixels, labels, and what the draws made of them" look html "$work/sheet.html"
check "strengths" preview -o "$work/strength.html" --strength
check "they are the ends and the middle of the range" look strength "$work/strength.html"

cp "$work/sheet.html" "$work/first.html"
preview -o "$work/sheet.html" --samples 3 --threads 1 > /dev/null 2>&1
check "the same sheet again, on one thread" cmp "$work/first.html" "$work/sheet.html"
preview -o "$work/other.html" --samples 3 --seed 5 > /dev/null 2>&1
check "another seed, other draws" look html "$work/other.html"
cmp -s "$work/other.html" "$work/first.html" && not_ok "another seed differs" || ok "another seed differs"
if have_vulkan; then
    check "a sheet from Vulkan" "$anlage" preview "$work/spec.yaml" --device vulkan -o "$work/vulkan.html" --samples 3
    check "it shows the same draws" look html "$work/vulkan.html"
else
    skip "a sheet from Vulkan" "no Vulkan device"
fi

if "$anlage" --version | grep -q 'cairo none'; then
    check_fails "without cairo there are no PNGs" 1 "A0831" preview -o "$work/sheet.png"
else
    check "a sheet as PNG" preview -o "$work/sheet.png" --samples 3
    said=$(sed -n 's/.*, \([0-9]* x [0-9]*\) pixels$/\1/p' "$work/output")
    check "its pictures are those of the HTML, sample by sample" look png "$work/sheet.png" "$work/first.html"
    [ -n "$said" ] && grep -qx "$said" "$work/output" && ok "it is as large as said" || not_ok "it is as large as said" "$said"
    cp "$work/sheet.png" "$work/first.png"
    preview -o "$work/sheet.png" --samples 3 > /dev/null 2>&1
    check "the same PNG again" cmp "$work/first.png" "$work/sheet.png"
fi

check_fails "a folder that is not there" 1 "A0830" preview -o "$work/none/sheet.html"
check_fails "a file of another kind" 1 "A0830" preview -o "$work/sheet.gif"
check_fails "a split without shards" 1 "A0804" preview -o "$work/none.html" --split test
check_fails "a split that there is not" 1 "A0832" preview -o "$work/none.html" --split tset
sed "s|train-|lost-|" "$work/spec.yaml" > "$work/lost.yaml"
check_fails "shards that are not there" 1 "A0804" "$anlage" preview "$work/lost.yaml" -o "$work/none.html"
sed '/random_intensity/d; /replicate/d; /- moved_by/d; /_ + normal/d; s/bright.view=0./bright/' "$work/spec.yaml" > "$work/still.yaml"
check_fails "strengths of views that draw nothing" 1 "A0832" "$anlage" preview "$work/still.yaml" -o "$work/none.html" --strength
sed '/^views/,/_ + normal/d; s/bright.view=0. + moved + together/image/' "$work/spec.yaml" > "$work/viewless.yaml"
check_fails "a recipe without views" 1 "A0832" "$anlage" preview "$work/viewless.yaml" -o "$work/none.html"
if ls "$work" | grep -qE 'none|tmp'; then not_ok "failures leave no file"; else ok "failures leave no file"; fi
exit $((failures != 0))
