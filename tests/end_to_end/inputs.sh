#!/bin/sh
# What pack takes beside files of one image: DICOM series of a file a slice, arrays of HDF5 files; and compression by Blosc.
# In: the executable (see common.sh), the phantom generator. Out: a line `ok NAME`, `not ok NAME` or `skip NAME reason` per check; exit 1 if any is not.
set -u
. "$(dirname "$0")/common.sh"
phantoms=$build/samples/phantoms
version=$("$anlage" --version)

# pack_set FOLDER …: the table FOLDER/labels.csv, packed so that no name of a file is in the shards.
pack_set() {
    set_of=$1
    shift
    "$anlage" pack "$work/$set_of" --labels "$work/$set_of/labels.csv" --size 40 --split 1,0,0 --keep-ids --anonymous-files "$@"
}
contains() { if grep -qE -- "$2" "$work/output"; then ok "$1"; else not_ok "$1" "no $2"; fi; }

# ---- series ----

series() {
    check "volumes in one file each" "$phantoms" "$work/frames" 12 4 --format dicom --volumes --slices 6 || return 1
    check "volumes in a file a slice" "$phantoms" "$work/series" 12 4 --format dicom --volumes --slices 6 --series || return 1
    check_fails "series are of volumes in DICOM" 2 "usage: phantoms" "$phantoms" "$work/none" 1 1 --series
    for set in frames series; do
        grep -E '^file|,ct,' "$work/$set/labels.csv" > "$work/labels.csv"
        mv "$work/labels.csv" "$work/$set"
    done
    check "multi-frame CT" pack_set frames --out "$work/a"
    check "CT in a file a slice, by the names of the folders" pack_set series --out "$work/b"
    contains "volumes and files are counted" '^series  *3, of 18 files'
    check "the pack is the same voxel by voxel" cmp "$work/a/train-00000.h5" "$work/b/train-00000.h5"

    # The same slices in one folder, in another order, under names that say nothing; the table names one slice of each.
    mkdir "$work/shuffled"
    head -n 1 "$work/series/labels.csv" > "$work/shuffled/labels.csv"
    number=5
    for row in $(sed 1d "$work/series/labels.csv"); do
        for file in "$work/series/${row%%,*}"/*; do
            number=$(((number * 23) % 97))
            cp "$file" "$work/shuffled/$number"
        done
        echo "$number,${row#*,}" >> "$work/shuffled/labels.csv"
    done
    check "shuffled and renamed, one slice of each named" pack_set shuffled --volumes --out "$work/c"
    check "it is the same voxel by voxel" cmp "$work/a/train-00000.h5" "$work/c/train-00000.h5"
    check "files that are named one by one stay slices" pack_set shuffled --out "$work/d"
    contains "of one slice each" '^packed  *3 samples of 3 files, 40 x 40,'
    check "without a table they are found" "$anlage" pack "$work/shuffled" --size 40 --split 1,0,0 --out "$work/e"
    contains "as volumes" '^packed  *3 samples of 3 files, 40 x 40 x 40,'
    check "of a size without z" "$anlage" pack "$work/shuffled" --size 40x40 --split 1,0,0 --out "$work/f"
    contains "they are images" '^packed  *18 samples of 18 files, 40 x 40,'
    check "--slices of folders" pack_set series --slices --out "$work/g"
    contains "are all their files" '^packed  *18 samples of 18 files'

    # Two rows that say two things of one volume.
    row=$(sed -n 2p "$work/series/labels.csv")
    folder=${row%%,*}
    printf 'file,lesion\n%s/s001.dcm,0\n%s/s002.dcm,1\n' "$folder" "$folder" > "$work/series/rows.csv"
    check_fails "one volume has one label" 1 'A0802' "$anlage" pack "$work/series" --labels "$work/series/rows.csv" --size 40 --volumes --out "$work/h"
    contains "another way is shown" '--slices'

    # A slice that is missing, one that is there twice, one that faces another way.
    set -- $(sed 1d "$work/series/labels.csv" | cut -d, -f1)
    rm "$work/series/$1/s003.dcm"
    cp "$work/series/$2/s002.dcm" "$work/series/$2/copy.dcm"
    check "series that make no volume" pack_set series --out "$work/i"
    contains "a missing slice is seen" "$1/s001.dcm is skipped: its 5 slices are not evenly apart: 40 mm from slice 2 to the next, 20 mm usually"
    contains "a slice that is there twice is seen" "$2/s001.dcm is skipped: two of its 7 slices lie at one place, $2/copy.dcm and $2/s002.dcm"
    contains "the others are packed" '^packed  *1 sample of 1 file'
    rm -r "$work/i"
    rm "$work/series/$2/copy.dcm"
    if ! command -v dcmodify > /dev/null; then
        skip "slices that differ" "there is no dcmodify"
        return 0
    fi
    cp "$work/series/$2/s006.dcm" "$work/last.dcm"
    check "a slice of another orientation" dcmodify -nb -m '(0020,0037)=1\0\0\0\0\-1' "$work/series/$2/s006.dcm"
    check "is no part of the volume" pack_set series --volumes --out "$work/i"
    grep -q "^skipped  *2" "$work/output" && grep -q "s006.dcm is skipped: it is a single slice" "$work/output" && grep -q '^series  *3, of 16 files' "$work/output" &&
        ok "but left out by itself" || not_ok "but left out by itself" "$(tail -n 8 "$work/output")"
    cp "$work/last.dcm" "$work/series/$2/s006.dcm"
    rm -r "$work/i"
    check "a slice of another scale" dcmodify -nb -m '(0028,1052)=-1023' "$work/series/$2/s006.dcm"
    check "comes to one scale with the others" pack_set series --out "$work/i"
    "$anlage" inspect "$work/i" > "$work/output"
    contains "as float32" 'float32'
}
# ---- Blosc ----

check "images" "$phantoms" "$work/images" 20 4
for how in none deflate:9 blosc blosc:9; do
    case $how-$version in
    blosc*'(no pack --compress blosc)'*)
        check_fails "compressed by $how" 1 "built without libblosc" pack_set images --compress "$how" --out "$work/by-$how"
        continue
        ;;
    esac
    check "compressed by $how" pack_set images --compress "$how" --out "$work/by-$how"
    "$anlage" inspect "$work/by-$how/train-00000.h5" 2>&1 | grep -E '^  (samples|values)' > "$work/$how.txt"
    check "and read, to the same values" cmp "$work/none.txt" "$work/$how.txt"
    grep -q '^  samples *20$' "$work/none.txt" || not_ok "all are there"
done
check_fails "a level that there is not" 2 "--compress takes" pack_set images --compress blosc:12 --out "$work/by"
check_fails "a method that there is not" 2 "--compress takes" pack_set images --compress gzip --out "$work/by"

# ---- arrays of HDF5 files: the shards of a pack are some ----

array=$work/by-none/train-00000.h5:/image
check "an array, its labels and patients" "$anlage" pack "$array" --labels-from "$work/by-none/train-00000.h5:/labels/lesion" \
    --labels-from "$work/by-none/train-00000.h5:/patient" --size 40 --split 1,0,0 --keep-ids --out "$work/array"
contains "is packed" '^packed  *20 samples of 20 files, 40 x 40, 16 bits'
contains "by patient" '^patients  *[2-9],'
for set in by-none array; do
    "$anlage" inspect "$work/$set/train-00000.h5" | grep -E '^  (image|values|lesion)' > "$work/$set.txt"
done
check "with the same values and labels" cmp "$work/by-none.txt" "$work/array.txt"
[ "$(wc -l < "$work/array.txt")" = 3 ] || not_ok "which are shown"
check_fails "a file without the array" 1 "name the one with the images" "$anlage" pack "$work/by-none/train-00000.h5" --size 40 --out "$work/none"
contains "the arrays in it are named" 'it holds .*/image'
check_fails "an array that there is not" 1 "there is no such array" "$anlage" pack "$array.s" --size 40 --out "$work/none"
check_fails "a group" 1 "it is a group" "$anlage" pack "$work/by-none/train-00000.h5:/labels" --size 40 --out "$work/none"
check_fails "axes that it has not" 1 'cannot be `nyx`' "$anlage" pack "$array" --axes nyx --size 40 --out "$work/none"
check_fails "labels of another length" 1 "and there are 20 images" "$anlage" pack "$array" --labels-from "$work/by-none/train-00000.h5:/patients" --size 40 --out "$work/none"
check_fails "labels of files" 1 "only input" "$anlage" pack "$work/images" --labels-from "$work/by-none/train-00000.h5:/patient" --size 40 --out "$work/none"
check_fails "axes of files" 1 "there is none in the input" "$anlage" pack "$work/images" --axes nyx --size 40 --out "$work/none"
check_fails "a table of an array" 1 "labels of an array are arrays" "$anlage" pack "$array" --labels "$work/images/labels.csv" --size 40 --out "$work/none"
head -c 30000 "$work/by-none/train-00000.h5" > "$work/short.h5"
check_fails "a file that ends early" 1 "truncated file" "$anlage" pack "$work/short.h5:/image" --size 40 --out "$work/none"
[ -e "$work/none" ] && not_ok "nothing is written then" || ok "nothing is written then"

case $version in
*'(no DICOM)'*) skip "DICOM series" "built without it" ;;
*) series ;;
esac
[ "$failures" = 0 ]
