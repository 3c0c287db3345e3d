#!/bin/sh
# Packing from the command line, and shards read by others (h5py; skipped where there is none).
# In: the executable (see common.sh). Out: a line `ok NAME`, `not ok NAME` or `skip NAME reason` per check; exit 1 if any is not.
set -u
. "$(dirname "$0")/common.sh"

# tiff FILE VALUE: a grey TIFF of 2 x 2 pixels, 8 bits, written byte by byte: four times the octal VALUE.
tiff() {
    # tag, type (3: 16 bits, 4: 32 bits), one value
    printf 'II*\000\010\000\000\000\011\000' > "$1"
    for entry in '\000\001 \003 \002' '\001\001 \003 \002' '\002\001 \003 \010' '\003\001 \003 \001' '\006\001 \003 \001' \
        '\021\001 \004 \172' '\025\001 \003 \001' '\026\001 \003 \002' '\027\001 \004 \004'; do
        # shellcheck disable=SC2086
        set -- "$1" "$2" $entry
        printf "$3$4\\000\\001\\000\\000\\000$5\\000\\000\\000" >> "$1"
    done
    printf "\\000\\000\\000\\000\\$2\\$2\\$2\\$2" >> "$1"
}

mkdir "$work/images" "$work/images/more"
echo "file,finding,kind,patient" > "$work/images/labels.csv"
number=0
while [ $number -lt 20 ]; do
    tiff "$work/images/more/i$number.tif" "$(printf '%03o' $((number * 10)))"
    kind=mass
    [ $((number % 2)) = 0 ] && kind=cyst
    finding=$((number % 2))
    [ $number = 7 ] && finding=
    echo "more/i$number.tif,$finding,$kind,p$((number / 2))" >> "$work/images/labels.csv"
    number=$((number + 1))
done

pack() { "$anlage" pack "$work/images" --labels "$work/images/labels.csv" --size 4 --keep-ids "$@"; }

check "pack images with labels" pack --out "$work/out" --split 0.6,0.2,0.2
if grep -q '^packed  *20 samples of 20 files' "$work/output" && grep -q '^patients  *10,' "$work/output" && grep -q '^train  *12$' "$work/output" &&
    grep -q '^test  *4$' "$work/output"; then
    ok "pack counts what it packed"
else
    not_ok "pack counts what it packed"
    sed 's/^/    /' "$work/output"
fi
check_fails "a second pack does not mix with the first" 1 "holds a pack already" pack --out "$work/out"
check "--force replaces the first" pack --out "$work/out" --split 0.6,0.2,0.2 --force
check "pack again elsewhere" pack --out "$work/again" --split 0.6,0.2,0.2 --threads 1
if diff -r "$work/out" "$work/again" > "$work/output"; then
    ok "the same input gives the same bytes"
else
    not_ok "the same input gives the same bytes" "$(head -n 1 "$work/output")"
fi
check "inspect shards" "$anlage" inspect "$work/out"/*.h5
if grep -q '4 x 4, 1 channel, uint8' "$work/output" && grep -q 'cyst 6, mass 6' "$work/output"; then
    ok "inspect shows sizes and labels"
else
    not_ok "inspect shows sizes and labels"
    sed 's/^/    /' "$work/output"
fi
check "pack without labels" "$anlage" pack "$work/images" --size 4 --out "$work/plain" --split 1,0,0
echo "this is no picture" > "$work/images/more/i3.tif"
check "an unreadable image does not stop a pack" pack --out "$work/skip"
if grep -q 'A0807.*i3.tif is skipped' "$work/output" && grep -q '^skipped  *1$' "$work/output"; then
    ok "an unreadable image is reported and counted"
else
    not_ok "an unreadable image is reported and counted"
fi
check_fails "no images at all" 1 "A0808" "$anlage" pack "$work/out" --size 4 --out "$work/none"
check_fails "no such folder" 1 "No such file" "$anlage" pack "$work/absent" --size 4 --out "$work/none"
check_fails "inspect what is no shard" 1 "it is none of" "$anlage" inspect "$work/images/labels.csv"
check_fails "size is needed" 2 "--size" "$anlage" pack "$work/images" --out "$work/none"
check_fails "shares must make one" 2 "shares" pack --out "$work/none" --split 0.5,0.1,0.1
check_fails "unknown option" 2 "usage" pack --out "$work/none" --frobnicate
check_fails "a column that is not there" 1 'did you mean `patient`' pack --out "$work/none" --patient patinet

# Debian's interpreter has Debian's h5py; another one may come first in the path.
python=
for candidate in python3 /usr/bin/python3; do
    if [ -z "$python" ] && "$candidate" -c 'import h5py' 2> /dev/null; then
        python=$candidate
    fi
done
if [ -z "$python" ]; then
    skip "h5py reads shards" "there is no h5py"
else
    check "h5py reads shards" "$python" - "$work/out" << 'PYTHON'
import glob, sys
import h5py, numpy
seen, patients = 0, {}
for path in sorted(glob.glob(sys.argv[1] + "/*.h5")):
    with h5py.File(path, "r") as f:
        n = f["image"].shape[0]
        assert f["image"].shape[1:] == (4, 4, 1) and f["image"].dtype == numpy.uint8, f["image"]
        assert f["image"].chunks == (1, 4, 4, 1)
        assert abs(f["image"].attrs["scale"] - 1 / 255) < 1e-12
        assert f.attrs["format"] == 2 and f.attrs["split"].decode() in path, dict(f.attrs)
        words = [w.decode() for w in f["labels/kind"].attrs["values"]]
        assert words == ["cyst", "mass"], words
        names = [p.decode() for p in f["patients"][:]]
        for i in range(n):
            name = f["file"][i].decode()
            number = int(name[len("more/i"):-len(".tif")])
            assert (f["image"][i] == number * 10).all(), (name, f["image"][i])
            finding = f["labels/finding"][i]
            assert numpy.isnan(finding) if number == 7 else finding == number % 2
            assert f["labels/finding"].dtype == numpy.float32
            assert words[f["labels/kind"][i]] == ("mass" if number % 2 else "cyst")
            patient = names[f["patient"][i]]
            assert patient == "p%d" % (number // 2)
            assert patients.setdefault(patient, f.attrs["split"]) == f.attrs["split"]
            seen += 1
assert seen == 20, seen
PYTHON
fi
[ "$failures" = 0 ]
