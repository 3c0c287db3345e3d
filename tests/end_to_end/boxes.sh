#!/bin/sh
# Boxes from the table to training: the same whatever the files are, drawn into samples, read as fields.
# In: the executable (see common.sh), the phantom generator; shared data, where it is. Out: a line `ok NAME`, `not ok NAME` or `skip NAME reason` per check; exit 1 if
# any is not.
set -u
. "$(dirname "$0")/common.sh"
phantoms=$build/samples/phantoms
contains() { if grep -qE -- "$2" "$work/output"; then ok "$1"; else not_ok "$1" "no $2"; fi; }

# ---- volumes: files of all kinds, each with boxes in its own voxels ----

packed() { # NAME FOLDER …
    name=$1 folder=$2
    shift 2
    check "$name" "$anlage" pack "$work/$folder" --boxes "$work/$folder/boxes.csv" --size 16x48x48 --split 1,0,0 --keep-ids --anonymous-files "$@"
}
boxes_of() { "$anlage" inspect "$1/train-00000.h5" | sed -n '/^  boxes/,$p'; }

volumes() {
    reference=
    for format in dicom series nifti; do
        case $format in
            series) set -- --format dicom --series ;;
            *) set -- --format $format ;;
        esac
        "$phantoms" "$work/$format" 12 5 --volumes --slices 6 "$@" > "$work/output" 2>&1
        if grep -q 'built without' "$work/output"; then
            skip "boxes of $format" "this build has none"
            continue
        fi
        packed "boxes of $format" "$format" --labels "$work/$format/labels.csv" --out "$work/packed-$format"
        boxes_of "$work/packed-$format" > "$work/$format.txt"
        if [ -z "$reference" ]; then
            reference=$format
            [ "$(wc -l < "$work/$format.txt")" = 8 ] && grep -q 'lesion' "$work/$format.txt" && ok "corners and class" || not_ok "corners and class"
        else
            check "boxes of $format are those of $reference" cmp "$work/$reference.txt" "$work/$format.txt"
        fi
    done
    if [ -d "$work/series" ]; then
        packed "a series is known by its folder without a table of labels" series --out "$work/untold"
        boxes_of "$work/untold" > "$work/untold.txt"
        check "its boxes are the same" cmp "$work/series.txt" "$work/untold.txt"
        # Each box named by one slice file of its volume: it lies in that slice.
        awk -F, 'NR == 1 { print "file,class,x0,y0,x1,y1"; next } { printf "%s/s%03d.dcm,%s,%s,%s,%s,%s\n", $1, $5 + 1, $2, $3, $4, $6, $7 }' \
            "$work/series/boxes.csv" > "$work/series/slices.csv"
        check "boxes named by slice" "$anlage" pack "$work/series" --boxes "$work/series/slices.csv" --size 6x48x48 --split 1,0,0 --out "$work/by-slice"
        boxes_of "$work/by-slice" > "$work/output"
        contains "are as many" "^  boxes +$(sed 1d "$work/series/boxes.csv" | wc -l),"
        packed "slices as samples" series --slices --out "$work/slices"
        # Boxes name folders, and each of their slices is a sample of its own now.
        contains "have no boxes that name their folder" "A0820.*not in the pack"
    fi
}
if [ -x "$phantoms" ]; then volumes; else skip "boxes of volumes" "the phantom generator is not built"; fi

# ---- images: packed, looked at, trained on ----

if [ -x "$phantoms" ]; then
    "$phantoms" "$work/images" 32 9 > "$work/output" 2>&1
    check "images with boxes" "$anlage" pack "$work/images" --labels "$work/images/labels.csv" --boxes "$work/images/boxes.csv" --size 64 --split 0.7,0.3,0 --out "$work/shards"
    contains "boxes are counted" "^boxes +$(sed 1d "$work/images/boxes.csv" | wc -l), at most 1 in a sample"
    check "the manifest shows them" "$anlage" inspect "$work/shards"
    contains "by split" '^  boxes in them +[0-9]+ +[0-9]+ +0'
    spec=$root/tests/specs/accepted/boxes.yaml
    for device in host vulkan; do
        check "training on $device" "$anlage" train "$spec" --set "shards=$work/shards/train-*.h5" --device $device --out "$work/run-$device"
        losses=$(sed -n 's/.*"step": *\(1\|30\),.*"loss": *\([0-9.]*\).*/\2/p' "$work/run-$device/metrics.jsonl" | tr '\n' ' ')
        echo "$losses" | awk '{ exit !($2 > 0 && $2 < 0.8 * $1) }' && ok "the loss on $device falls: $losses" || not_ok "the loss on $device falls" "$losses"
    done
    sed 's/^modules:/views: {whole: [image]}\nmodules:/; s/encoder(image)/encoder(whole)/; s#\.\./\.\./\.\./specs#'"$root"'/specs#g' "$spec" > "$work/seen.yaml"
    check "boxes on a sheet" "$anlage" preview "$work/seen.yaml" --set "shards=$work/shards/train-*.h5" --samples 12 -o "$work/sheet.html" --device host
    grep -q 'box: amber class lesion' "$work/sheet.html" && ok "say what is in them" || not_ok "say what is in them"
    check_fails "a column that is not there" 1 'no column `clas` of boxes' "$anlage" train "$spec" --set "shards=$work/shards/train-*.h5" --set what=clas --out "$work/none"
    contains "has a name beside it" 'did you mean .class.'
    check "a pack without boxes" "$anlage" pack "$work/images" --labels "$work/images/labels.csv" --size 64 --out "$work/plain"
    check_fails "has none" 1 'there are no boxes' "$anlage" train "$spec" --set "shards=$work/plain/train-*.h5" --out "$work/none"
    printf 'file,class,x0,y0,x1,y1\np00000-1.tif,lesion,30,1,12,2\n' > "$work/images/wrong.csv"
    check_fails "a box that ends before it begins" 1 'x0 is 30 and x1 12' "$anlage" pack "$work/images" --boxes "$work/images/wrong.csv" --size 64 --out "$work/none"
    [ ! -e "$work/none" ] && ok "and nothing is written" || not_ok "and nothing is written"
else
    skip "boxes of images" "the phantom generator is not built"
fi

# ---- a real set ----

liver=$root/../shared/data/us_liver_aul
if [ -d "$liver" ]; then
    check "liver ultrasound" "$anlage" pack "$liver" --labels "$liver/labels.csv" --boxes "$liver/boxes.csv" --size 96 --out "$work/liver"
    contains "has all of its boxes" '^boxes +1367, at most 2'
    grep -q A0820 "$work/output" && not_ok "none lies outside" || ok "none lies outside"
else
    skip "liver ultrasound" "../shared is not there"
fi
exit $((failures != 0))
