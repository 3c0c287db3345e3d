#!/bin/sh
# The whole path on images made here: pack, pretrain, fine-tune from scratch and from the pretrained encoder, compare.
# In: nothing (needs no GPU, no data). Out: build/quickstart/ with sheets to look at (preview.html, ct.html, mr.html), and both test AUCs on the terminal.
# Settings: ANLAGE_DEVICE (auto), QUICKSTART_IMAGES (3000), QUICKSTART_OUT (build/quickstart).
set -eu
cd "$(dirname "$0")/.."
. samples/setup.sh
anlage_install
echo "building in build/"
anlage_targets="command samples/phantoms"
anlage_build build

anlage=build/frontend/anlage
out=${QUICKSTART_OUT:-build/quickstart}
images=${QUICKSTART_IMAGES:-3000}
device=${ANLAGE_DEVICE:-auto}
rm -rf "$out"
mkdir -p "$out"
begin=$(date +%s)
say() { printf '\n== %s (%ss)\n' "$1" "$(($(date +%s) - begin))"; }

say "1/6 making $images phantom images of four modalities (16-bit TIFF)"
build/samples/phantoms "$out/images" "$images" 1

say "2/6 packing them into shards, split by patient"
"$anlage" pack "$out/images" --labels "$out/images/labels.csv" --boxes "$out/images/boxes.csv" --size 64 --keep-ids --out "$out/shards"

# Some of them and their views, to look at in a browser.
"$anlage" preview specs/pretrain/swav.yaml -o "$out/preview.html" --device "$device" \
    --set shards="$out/shards/train-*.h5" --set input=64 --set size=48 --set local_size=24 --set global_area="[0.5, 1.0]" --set local_area="[0.1, 0.4]"

say "3/6 volumes: CT as DICOM, MR as NIfTI, packed, and a sheet of each"
volumes() { # MODALITY FORMAT, options of pack
    made=$out/volumes-$1 shards=$out/volumes-$1-shards spec=specs/pretrain/swav_volumes.yaml
    build/samples/phantoms "$made" 20 1 --volumes --slices 16 --modality "$1" --format "$2" || return 0 # it says what this build lacks
    modality=$1
    shift 2
    "$anlage" pack "$made" --labels "$made/labels.csv" --boxes "$made/boxes.csv" --size 32 --split 1,0,0 --keep-ids --out "$shards" "$@"
    "$anlage" preview "$spec" -o "$out/$modality.html" --device "$device" --set shards="$shards/train-*.h5" --set input=32 --set size=32 --set local_size=16
}
volumes ct dicom --window 40,400
volumes mr nifti

say "4/6 pretraining without labels"
"$anlage" train specs/pretrain/swav.yaml --out "$out/pretrained" --device "$device" \
    --set shards="$out/shards/train-*.h5" --set input=64 --set size=48 --set local_size=24 --set global_area="[0.5, 1.0]" --set local_area="[0.1, 0.4]" \
    --set batch=64 --set width=16 --set clusters=60 --set queue_length=512 --set queue_start=3ep --set warmup=1ep \
    --set epochs="${QUICKSTART_EPOCHS:-12}"

# Few labels: three in ten patients keep theirs.
finetune() {
    "$anlage" train specs/finetune/classify.yaml --out "$out/$1" --device "$device" $2 \
        --set shards="$out/shards/train-*.h5" --set valid="$out/shards/valid-*.h5" --set test="$out/shards/test-*.h5" \
        --set label=lesion --set input=64 --set size=64 --set batch=32 --set width=16 --set labelled=0.3 --set epochs="${QUICKSTART_FINETUNE_EPOCHS:-30}"
    "$anlage" eval "$out/$1/spec.yaml" --checkpoint "$out/$1" --device "$device" --split test --json > "$out/$1.json"
}
auc() {
    sed -n 's/.*"value": \([0-9.]*\), "low": \([0-9.]*\), "high": \([0-9.]*\).*/\1 \2 \3/p' "$out/$1.json" |
        awk '{ printf "%.3f (95 %% interval %.3f to %.3f)", $1, $2, $3 }'
}

say "5/6 fine-tuning on three tenths of the labels, from scratch"
finetune scratch ""
say "6/6 fine-tuning on the same labels, from the pretrained encoder"
finetune pretrained-tuned "--set pretrained=$out/pretrained"

say "done"
"$anlage" devices || true
cat <<EOT

Test AUC for the lesion, on patients that were never seen:
  from scratch          $(auc scratch)
  from the pretrained   $(auc pretrained-tuned)
It took $(($(date +%s) - begin)) seconds.

Next, with your own images (TIFF, PNG, JPEG, DICOM, NIfTI or HDF5 arrays; a labels.csv with the file first, and a patient column):
  $anlage pack DIR --labels labels.csv --size 128 --out shards
  $anlage train specs/pretrain/swav.yaml --out runs/pretrained --set shards='shards/train-*.h5'
  $anlage train specs/finetune/classify.yaml --out runs/tuned --set shards='shards/train-*.h5' \\
      --set valid='shards/valid-*.h5' --set test='shards/test-*.h5' --set label=COLUMN --set pretrained=runs/pretrained
  $anlage eval runs/tuned/spec.yaml --checkpoint runs/tuned
Copy a spec from specs/, edit it, and check it with: $anlage lint my.yaml
EOT
