/* DICOM in a build without DCMTK: files are recognised, so that the reason can be said.
 * In: a file. Out: a refusal. */
#include "data/scan.h"

static anl_status read_none(const char *path, FILE *file, bool voxels, anl_scan *out, char reason[ANL_REASON_SIZE])
{
    (void)path;
    (void)file;
    (void)voxels;
    (void)out;
    return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it is DICOM, and this program was built without DCMTK, which reads it");
}

static const char *const endings[] = {".dcm", ".dicom", NULL};
const anl_scan_reader anl_reader_dicom = {"DICOM", endings, anl_dicom_sniff, read_none};
