/* Phantoms as NIfTI-1, through libnifti2.
 * In: a scan. Out: FILE.nii or FILE.nii.gz with scale, spacing and place.
 * NIfTI counts x from left to right and y from back to front (RAS), so both run against the scan's; the place says so. */
#include <nifti2_io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phantom_files.h"

bool phantom_has_nifti(void) { return true; }

bool phantom_write_nifti(const char *path, const phantom_scan *s)
{
    const int64_t dims[8] = {3, s->width, s->height, s->depth, 1, 1, 1, 1};
    const bool bytes = s->bits == 8;
    nifti_image *image = nifti_make_new_nim(dims, bytes ? DT_UINT8 : DT_UINT16, 1);
    if (!image || nifti_set_filenames(image, path, 0, 1)) {
        fprintf(stderr, "phantoms: %s: no NIfTI image of it\n", path);
        nifti_image_free(image);
        return false;
    }
    image->nifti_type = NIFTI_FTYPE_NIFTI1_1;
    image->dx = image->pixdim[1] = s->spacing[0];
    image->dy = image->pixdim[2] = s->spacing[1];
    image->dz = image->pixdim[3] = s->spacing[2];
    image->xyz_units = NIFTI_UNITS_MM;
    image->scl_slope = s->intercept != 0 ? 1 : 0; /* 0: no scale */
    image->scl_inter = s->intercept;
    image->sform_code = image->qform_code = NIFTI_XFORM_SCANNER_ANAT;
    const int size[3] = {s->width, s->height, s->depth};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            image->sto_xyz.m[i][j] = i == j ? (i < 3 ? s->spacing[i] : 1) : 0;
    for (int i = 0; i < 3; i++) /* the middle of the scan is at 0 */
        image->sto_xyz.m[i][3] = -0.5 * (size[i] - 1) * s->spacing[i];
    image->quatern_b = image->quatern_c = image->quatern_d = 0;
    image->qoffset_x = image->sto_xyz.m[0][3];
    image->qoffset_y = image->sto_xyz.m[1][3];
    image->qoffset_z = image->sto_xyz.m[2][3];
    image->qfac = 1;
    size_t at = 0;
    for (int z = 0; z < s->depth; z++)
        for (int y = s->height - 1; y >= 0; y--)
            for (int x = s->width - 1; x >= 0; x--, at++) {
                const uint16_t v = s->voxels[((size_t)z * (size_t)s->height + (size_t)y) * (size_t)s->width + (size_t)x];
                if (bytes)
                    ((uint8_t *)image->data)[at] = (uint8_t)v;
                else
                    ((uint16_t *)image->data)[at] = v;
            }
    /* The library says on stderr what went wrong, but returns nothing: so the file is read again. */
    nifti_image_write(image);
    nifti_image *again = nifti_image_read(path, 1);
    const bool good =
        again && again->nvox == image->nvox && !memcmp(again->data, image->data, (size_t)(image->nvox * image->nbyper));
    nifti_image_free(again);
    if (!good) {
        fprintf(stderr, "phantoms: %s could not be written\n", path);
        remove(path);
    }
    nifti_image_free(image);
    return good;
}
