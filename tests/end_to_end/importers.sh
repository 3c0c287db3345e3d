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
# same_voxels FILE SHA256: what inspect says of them
same_voxels() { found=$(ours "$1") && [ "$found" = "$2" ] || { echo "$1: $found, expected $2"; false; }; }

python3 "$checker" write "$work/made" || exit 1
cd "$work/made" || exit 1

# ---- TIFF ----

# tiff NAME BASE OPTIONS...: tiffcp's copy has the voxels of BASE, which are known. A codec that this LibTIFF has not is skipped.
tiff() {
    from=$1
    shift
    if ! tiffcp "$@" "$from" copy.tif 2> said.txt; then
        grep -qE 'not configured|Unknown' said.txt && return 0
        echo "tiffcp $* $from: $(cat said.txt)"
        return 1
    fi
    copies=$((copies + 1))
    same_voxels copy.tif "$(cat "$from.sha256")" || { echo "after tiffcp $* $from"; return 1; }
}
tiffs() {
    copies=0
    for base in grey8 grey16 rgb8 rgb16 real bilevel; do
        same_voxels $base.tif "$(cat $base.tif.sha256)" || return 1
        for order in -L -B; do
            for layout in "-s -r 7" "-s -r 100000" "-t -w 16 -l 32" "-t -w 64 -l 64"; do
                for code in none lzw zip packbits lzma zstd; do
                    tiff $base.tif $order $layout -c $code || return 1
                done
                tiff $base.tif $order -8 $layout -c lzw || return 1 # BigTIFF
            done
        done
        case $base in
        rgb8) tiff $base.tif -p separate -s -r 5 -c lzw && tiff $base.tif -p separate -t -w 32 -l 16 -c zip:2 || return 1 ;;
        esac
        case $base in
        bilevel)
            for code in g3 g3:2d g3:fill g4; do
                tiff $base.tif -c $code && tiff $base.tif -f lsb2msb -c $code && tiff $base.tif -s -r 6 -B -c $code || return 1
            done
            ;;
        real) # LibTIFF 4.5.0 writes big-endian files with this predictor wrong: it swaps the bytes before it takes differences
            tiff $base.tif -c zip:3 -L && tiff $base.tif -c lzw:3 -t -w 16 -l 16 -L || return 1
            ;;
        *) tiff $base.tif -c lzw:2 && tiff $base.tif -c zip:2 -B && tiff $base.tif -c zstd:2 -t -w 48 -l 16 || return 1 ;;
        esac
        case $base in real) ;; *) tiff $base.tif -f lsb2msb -c none && tiff $base.tif -f lsb2msb -c lzw || return 1 ;; esac
    done
    # With losses: as LibTIFF decodes it.
    for base in grey8 rgb8; do
        for code in jpeg jpeg:60 jpeg:r:90 webp; do
            for layout in "-s -r 16" "-t -w 32 -l 32"; do
                tiffcp $layout -c $code $base.tif lossy.tif 2> said.txt || continue
                tiffcp -c none lossy.tif plain.tif 2> /dev/null || continue
                copies=$((copies + 1))
                same_voxels lossy.tif "$(ours plain.tif)" || { echo "after tiffcp $layout -c $code $base.tif"; return 1; }
            done
        done
    done
    # Pages are slices.
    tiffcp -c lzw grey16.tif grey16.tif grey16.tif pages.tif && "$anlage" inspect pages.tif | grep -q "size  *3 x 47 x 61" || return 1
    echo "$copies copies"
    [ "$copies" -gt 300 ]
}
if need tiffcp; then
    check "TIFFs in every layout and compression of LibTIFF's tools" tiffs && sed 's/^/    /' "$work/output"
else
    skip "TIFFs of LibTIFF's tools" "tiffcp is absent"
fi

# ---- DICOM ----

dicoms() {
    for base in grey8 grey12 grey16s frames rgb8; do
        expected=$(cat $base.dcm.sha256)
        same_voxels $base.dcm "$expected" || return 1
        for how in "dcmconv +te" "dcmconv +ti" "dcmconv +tb" "dcmconv +td" "dcmconv -F" "dcmconv +ti -F" "dcmcrle" "dcmcjpls" "dcmcjpls +fs 1" "dcmcjpeg +e1" "dcmcjpeg +el" "dcmcjpeg +el +sv 1" \
            "dcmcjpeg +e1 +fs 1"; do
            $how $base.dcm copy.dcm > said.txt 2>&1 || { echo "$how $base.dcm: $(cat said.txt)"; return 1; }
            same_voxels copy.dcm "$expected" || { echo "after $how $base.dcm"; return 1; }
            python3 "$checker" dicom "$anlage" copy.dcm "$work" || { echo "after $how $base.dcm"; return 1; }
            copies=$((copies + 1))
        done
    done
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
copies=0
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
