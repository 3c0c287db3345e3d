/* NIfTI in a build without its library: files are recognised, so that the reason can be said.
 * In: a file. Out: a refusal. */
#include "data/scan.h"

static anl_status read_none(const char *path, FILE *file, bool voxels, anl_scan *out, char reason[ANL_REASON_SIZE])
{
    (void)path;
    (void)file;
    (void)voxels;
    (void)out;
    return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it is NIfTI, and this program was built without libnifti2, which reads it");
}

static const char *const endings[] = {".nii", ".nii.gz", NULL};
const anl_scan_reader anl_reader_nifti = {"NIfTI", endings, anl_nifti_sniff, read_none};
