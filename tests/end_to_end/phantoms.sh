#!/bin/sh
# Phantoms as TIFF, DICOM and NIfTI, images and volumes: what the readers, the packer and the preview make of the three is one thing.
# In: the executable (see common.sh). Out: a line `ok NAME`, `not ok NAME` or `skip NAME reason` per check; exit 1 if any is not.
set -u
. "$(dirname "$0")/common.sh"
phantoms=$build/samples/phantoms
seed=4 # of every modality some, with and without lesions

version=$("$anlage" --version)
formats=
for format in tiff dicom nifti; do
    case $format-$version in
    dicom-*'(no DICOM)'* | nifti-*'(no NIfTI)'*) skip "phantoms as $format" "built without it" ;;
    *) formats="$formats $format" ;;
    esac
done
for format in $formats; do
    check "volumes as $format" "$phantoms" "$work/volumes-$format" 12 $seed --format "$format" --volumes --slices 6 || exit 1
    [ $format = tiff ] || check "images as $format" "$phantoms" "$work/images-$format" 12 $seed --format "$format" || exit 1
done
check_fails "a format that there is not" 2 "usage: phantoms" "$phantoms" "$work/none" 1 1 --format bmp
check_fails "volumes of one slice" 2 "usage: phantoms" "$phantoms" "$work/none" 1 1 --volumes --slices 1

# shown FOLDER LINES: of each file, by its name without the ending, the lines of `inspect` that begin with one of LINES (for grep -E).
shown() {
    lines=$2
    case $2 in *affine*) lines="$2|       " ;; esac # … with the two rows below
    [ -f "$work/$1.txt" ] || "$anlage" inspect "$work/$1"/p* > "$work/$1.txt"
    awk -v lines="^  ($lines) " '/^[^ ]/ { name = $0; sub(/.*\//, "", name); sub(/\..*/, "", name) } $0 ~ lines { sub(/ HU /, " "); print name, $0 }' "$work/$1.txt"
}
# same NAME A B LINES: `inspect` says the same of all files of two folders.
same() {
    shown "$2" "$4" > "$work/a.txt"
    shown "$3" "$4" > "$work/b.txt"
    if [ -s "$work/a.txt" ] && diff "$work/a.txt" "$work/b.txt" > "$work/output"; then
        ok "$1"
    else
        not_ok "$1"
        head -n 10 "$work/output" | sed 's/^/    /'
    fi
}
# contains NAME TEXT FILE
contains() { if grep -qE "$2" "$3"; then ok "$1"; else not_ok "$1" "no $2"; fi; }

if [ "$formats" = " tiff dicom nifti" ]; then
    same "volumes in DICOM and NIfTI: the same voxels, values, spacing and place" volumes-dicom volumes-nifti 'size|stored|values|spacing|affine|sha256'
    same "volumes in DICOM and TIFF: the same voxels" volumes-dicom volumes-tiff 'size|stored|sha256'
    same "images in DICOM and NIfTI: the same voxels, MONOCHROME1 turned" images-dicom images-nifti 'size|stored|values|sha256'
    shown volumes-dicom 'values|spacing' > "$work/a.txt"
    contains "CT is in Hounsfield units from air on" 'values +-1000 to [4-9][0-9][0-9] .*\(stored \* 1 - 1024\)' "$work/a.txt"
    contains "slices are farther apart than pixels" 'spacing +([0-9.]+) x \1 x 20 mm' "$work/a.txt"
    shown images-dicom 'inverted' > "$work/a.txt"
    [ "$(grep -c inverted "$work/a.txt")" -gt 0 ] && ok "some radiographs are MONOCHROME1" || not_ok "some radiographs are MONOCHROME1"

    # The same MR packed from both, as volumes in their shape in mm, looks the same.
    for format in dicom nifti; do
        grep -E '^file|,mr,' "$work/volumes-$format/labels.csv" > "$work/mr-$format.csv"
        check "MR volumes are packed from $format" "$anlage" pack "$work/volumes-$format" --labels "$work/mr-$format.csv" --size 32 --split 1,0,0 --out "$work/mr-$format"
        sed "s|FORMAT|$work/mr-$format|" > "$work/mr-$format.yaml" << 'EOF'
anlage: 1
title: Volumes
import: [lib/augment.yaml, lib/layers.yaml, lib/optimize.yaml]
params:
  batch: {default: 64, range: [2, 8192]}
data:
  train:
    shards: FORMAT/train-*.h5
    fields:
      image: {axes: {channel: 1, z: 32, y: 32, x: 32}}
views:
  turned:
    - image
    - random_affine_crop: {size: 16}
graph:
  score: linear(mean(turned, over=[z, y, x]), from=channel, to=feature, size=2)
losses:
  least: {value: "mean(score, over=all)"}
train:
  length: 10it
  optimizer: [{weights: "*", rule: "sgd(lr=0.1)"}]
EOF
        check "a preview of MR from $format" "$anlage" preview "$work/mr-$format.yaml" --device host --samples 2 -o "$work/mr-$format.html"
        grep -E '^(<figure>|<figcaption>|<p>.*(mm a voxel|own range))' "$work/mr-$format.html" > "$work/mr-$format.txt"
    done
    check "it shows three planes of each, equal for both" cmp "$work/mr-dicom.txt" "$work/mr-nifti.txt"
    [ "$(grep -c 'figcaption' "$work/mr-dicom.txt")" = 12 ] && grep -q 'z 17 of 32<' "$work/mr-dicom.txt" && ok "two volumes and their views, in three planes" ||
        not_ok "two volumes and their views, in three planes"
    grep -E '^file|,ct,' "$work/volumes-dicom/labels.csv" > "$work/ct.csv"
    check "CT volumes are packed" "$anlage" pack "$work/volumes-dicom" --labels "$work/ct.csv" --size 32 --split 1,0,0 --out "$work/ct"
    contains "they stay in Hounsfield units" 'in HU' "$work/output"
    if command -v dcmdump > /dev/null; then
        check "dcmdump reads them" dcmdump +P 0028,1052 +P 0020,0032 "$work/volumes-dicom/p00002-1.dcm"
        [ "$(grep -c ImagePositionPatient "$work/output")" = 6 ] && grep -q 'DS \[-1024\]' "$work/output" && ! grep -qE '^[EW]:' "$work/output" &&
            ok "with a place for each slice, and no complaint" || not_ok "with a place for each slice, and no complaint"
    fi
fi
# Boxes are of the images with a lesion, and of those alone; volumes have them along z as well.
folder=$work/volumes-tiff
awk -F, 'NR > 1 && $2 == 1 { print $1 }' "$folder/labels.csv" > "$work/a.txt"
awk -F, 'NR > 1 && $3 >= 0 && $6 <= 128 && $3 < $6 && $4 < $7 && $5 < $8 && $8 <= 6 { print $1 }' "$folder/boxes.csv" > "$work/b.txt"
[ -s "$work/a.txt" ] && cmp -s "$work/a.txt" "$work/b.txt" && ok "every lesion has its box" || not_ok "every lesion has its box"
check "of one modality alone" "$phantoms" "$work/mr" 5 $seed --modality mr
[ "$(sed 1d "$work/mr/labels.csv" | cut -d, -f3 | sort | uniq -c | tr -s ' ')" = " 5 mr" ] && ok "are all of that" || not_ok "are all of that"
check "the same seed again" "$phantoms" "$work/again" 12 $seed --format tiff --volumes --slices 6
check "gives the same files" diff -r "$folder" "$work/again"
exit $((failures != 0))
