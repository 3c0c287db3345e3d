#!/bin/sh
# Image files of other programs, read as these read them: DICOM as DCMTK's tools, NIfTI as nifti-bin's, TIFF in every layout of LibTIFF's.
# In: ../shared/data/importers, skipped where absent; files that importers.py writes; dcmtk, nifti-bin and libtiff-tools, skipped where
# absent. Out: ok / not ok / skip lines.
. "$(dirname "$0")/common.sh"
checker=$root/tests/end_to_end/importers.py
shared=$root/../shared/data/importers

need() { command -v "$1" > /dev/null 2>&1; }
reads() { ! "$anlage" --version | grep -qF "$1"; }
ours() { "$anlage" inspect "$1" | sed -n 's/^  sha256 *//p'; }
# Every file of expected.txt, as inspect has it.
as_expected() {
    "$anlage" inspect $(cut -d ' ' -f 1 expected.txt) > found.txt || return 1
    awk 'NR == FNR { if (/^[^ ]/) file = $1; if ($1 == "sha256") found[file] = $2; next }
        found[$1] != $2 { print $1 ": " found[$1] ", expected " $0; bad = 1 } END { exit bad || FNR == 0 }' found.txt expected.txt
}

python3 "$checker" write "$work/made" || exit 1
cd "$work/made" && mkdir copies || exit 1

# ---- TIFF ----

# tiff BASE OPTIONS...: tiffcp's copy, which must have the voxels of BASE. A codec that this LibTIFF has not is left out.
tiff() {
    from=$1.tif
    shift
    if ! tiffcp "$@" "$from" "copies/$copies.tif" 2> said.txt; then
        rm -f "copies/$copies.tif"
        grep -qE 'not configured|Unknown' said.txt && return 0
        echo "tiffcp $* $from: $(cat said.txt)"
        return 1
    fi
    echo "copies/$copies.tif $(cat "$from.sha256") $* $from" >> expected.txt
    copies=$((copies + 1))
}
tiffs() {
    copies=0
    for base in grey1 grey2 grey4 grey8 grey10 grey12 grey14 grey16 grey32 signed8 signed16 signed32 real32 real64 rgb8 rgb16 white8 white16 palette bilevel; do
        echo "$base.tif $(cat $base.tif.sha256) as written" >> expected.txt
        for code in none lzw zip packbits lzma zstd; do
            tiff $base -L -s -r 7 -c $code && tiff $base -B -s -r 100000 -c $code || return 1
            case $base in grey10 | grey12 | grey14) continue ;; esac # tiffcp makes no tiles of them
            tiff $base -L -t -w 64 -l 64 -c $code && tiff $base -B -t -w 16 -l 32 -c $code || return 1
        done
        tiff $base -8 -s -r 5 -c lzw && tiff $base -8 -B -c zip || return 1 # BigTIFF
        # Differences of neighbours. LibTIFF 4.5.0 writes those of real numbers wrong in big-endian files: it swaps the bytes
        # first. (differences.tif is right.)
        case $base in
        real*) tiff $base -c zip:3 -L && tiff $base -c lzw:3 -t -w 16 -l 16 -L || return 1 ;;
        *8 | *16 | *32 | palette) tiff $base -c lzw:2 && tiff $base -c zip:2 -B && tiff $base -c zstd:2 -t -w 48 -l 16 || return 1 ;;
        esac
        case $base in grey? | white8 | rgb8 | bilevel) tiff $base -f lsb2msb -c none && tiff $base -f lsb2msb -c lzw || return 1 ;; esac
        case $base in
        rgb8) # a plane a channel; tiffcp does it for bytes only
            tiff $base -p separate -s -r 5 -c lzw && tiff $base -p separate -t -w 32 -l 16 -c zip:2 && tiff $base -p separate -B -s -r 9 -c none || return 1
            ;;
        grey1 | bilevel) # as faxes are sent
            for code in g3 g3:2d g3:fill g3:2d:fill g4; do
                tiff $base -c $code && tiff $base -f lsb2msb -c $code && tiff $base -s -r 6 -B -c $code || return 1
            done
            ;;
        esac
    done
    echo "differences.tif $(cat differences.tif.sha256) as written" >> expected.txt
    as_expected || return 1
    # With losses: as LibTIFF decodes it.
    lossy=0
    : > expected.txt
    for base in grey8 rgb8; do
        for code in jpeg jpeg:60 jpeg:r:90 webp; do
            for layout in "-s -r 16" "-t -w 32 -l 32"; do
                tiffcp $layout -c $code $base.tif copies/lossy$lossy.tif 2> said.txt && tiffcp -c none copies/lossy$lossy.tif copies/plain$lossy.tif 2> said.txt || continue
                echo "copies/lossy$lossy.tif $(ours copies/plain$lossy.tif) $layout -c $code $base.tif" >> expected.txt
                lossy=$((lossy + 1))
            done
        done
    done
    # Grey that other tools make.
    for made in "tiff2bw rgb8.tif" "tiff2bw -c zip palette.tif" "tiffdither grey8.tif" "tiffdither -c g4 grey8.tif" "tiffmedian -C 16 rgb8.tif" "tiff2rgba -c lzw palette.tif"; do
        need "${made%% *}" || continue # newer versions have fewer tools
        $made copies/made$lossy.tif 2> said.txt && tiffcp -c none copies/made$lossy.tif copies/plain$lossy.tif 2> said.txt || { echo "$made: $(cat said.txt)"; return 1; }
        echo "copies/made$lossy.tif $(ours copies/plain$lossy.tif) $made" >> expected.txt
        lossy=$((lossy + 1))
    done
    as_expected || return 1
    # Pages are slices.
    tiffcp -c lzw grey16.tif grey16.tif grey16.tif pages.tif && "$anlage" inspect pages.tif | grep -q "size  *3 x 47 x 61" || return 1
    echo "$copies copies, $lossy with losses or by other tools"
    [ "$copies" -gt 500 ] && [ "$lossy" -gt 12 ]
}
if need tiffcp; then
    check "TIFFs in every layout and compression of LibTIFF's tools" tiffs && sed 's/^/    /' "$work/output"
else
    skip "TIFFs of LibTIFF's tools" "tiffcp is absent"
fi

# ---- DICOM ----

dicoms() {
    copies=0
    : > expected.txt
    for base in grey8 grey12 grey16s frames rgb8; do
        echo "$base.dcm $(cat $base.dcm.sha256) as written" >> expected.txt
        for how in "dcmconv +te" "dcmconv +ti" "dcmconv +tb" "dcmconv +td" "dcmconv -F" "dcmconv +ti -F" "dcmcrle" "dcmcjpls" "dcmcjpls +fs 1" "dcmcjpeg +e1" "dcmcjpeg +el" "dcmcjpeg +el +sv 1" \
            "dcmcjpeg +e1 +fs 1"; do
            $how $base.dcm copies/$copies.dcm > said.txt 2>&1 || { echo "$how $base.dcm: $(cat said.txt)"; return 1; }
            echo "copies/$copies.dcm $(cat $base.dcm.sha256) $how $base.dcm" >> expected.txt
            copies=$((copies + 1))
        done
    done
    as_expected || return 1
    # With losses: as DCMTK decodes it.
    for how in "grey8 dcmcjpeg +eb" "grey8 dcmcjpeg +ee" "grey8 dcmcjpeg +es" "grey8 dcmcjpeg +ep" "grey12 dcmcjpeg +ee +bt" "grey12 dcmcjpls +en" "frames dcmcjpls +en" \
        "rgb8 dcmcjpeg +eb" "rgb8 dcmcjpeg +eb +cr" "rgb8 dcmcjpeg +eb +s4" "rgb8 dcmcjpeg +ep" "rgb8 dcmcjpls +en"; do
        base=${how%% *}
        ${how#* } $base.dcm copy.dcm > said.txt 2>&1 || { echo "$how: $(cat said.txt)"; return 1; }
        python3 "$checker" dicom "$anlage" copy.dcm "$work" || { echo "after $how"; return 1; }
        copies=$((copies + 1))
    done
    echo "$copies copies"
}
if ! reads "DCMTK none"; then
    skip "DICOM" "built without DCMTK"
elif need dcmdump; then
    check "DICOM in every encoding of DCMTK's tools" dicoms && sed 's/^/    /' "$work/output"
else
    skip "DICOM of DCMTK's tools" "dcmdump is absent"
fi

# ---- the files of others ----

if [ ! -d "$shared" ]; then
    skip "files of other programs" "../shared/data/importers is absent"
    exit $((failures > 0))
fi
if reads "DCMTK none" && need dcmdump; then
    for file in CT_small ExplVR_BigEnd JPEG-lossy JPGExtended MR_small MR_small_RLE MR_small_bigendian MR_small_implicit MR_small_jpeg_ls_lossless MR_small_padded SC_rgb_jpeg_dcmtk \
        SC_rgb_rle_16bit SC_rgb_small_odd image_dfl liver_1frame rtdose; do
        check "$file.dcm is read as DCMTK reads it" python3 "$checker" dicom "$anlage" "$shared/pydicom/$file.dcm" "$work"
    done
    refuse() { check_fails "$1.dcm is refused with the reason" 1 "$2" "$anlage" inspect "$shared/pydicom/$1.dcm"; }
    refuse 693_J2KI "compressed as JPEG 2000"
    refuse J2K_pixelrep_mismatch "compressed as JPEG 2000"
    refuse JPEG2000 "compressed as JPEG 2000"
    refuse MR_small_jp2klossless "compressed as JPEG 2000"
    refuse MR_truncated "PixelData (7fe0,0010) larger (8192) than remaining bytes in file"
    refuse badVR 'its number of frames is `1A`'
    refuse ExplVR_LitEndNoMeta "DICOM without pixels, of modality RTPLAN"
    refuse no_meta "it is none of DICOM" # a byte before its first tag: DCMTK does not read it, either
    check "no other DICOM file is there" sh -c "[ \$(ls '$shared/pydicom' | grep -c dcm) = 24 ]"
fi
if ! reads "NIfTI none"; then
    skip "NIfTI" "built without libnifti2"
elif need nifti_tool; then
    for file in "$shared"/nibabel/*.nii*; do
        check "$(basename "$file") is read as the NIfTI library reads it" python3 "$checker" nifti "$anlage" "$file" "$work"
    done
else
    skip "NIfTI" "nifti_tool is absent"
fi
exit $((failures > 0))
