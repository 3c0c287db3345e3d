/* Stands in for phantom_nifti.c in builds without libnifti2.
 * In: a scan. Out: nothing but a line that says what is missing.
 * Other formats need none of it. */
#include <stdio.h>

#include "phantom_files.h"

bool phantom_has_nifti(void) { return false; }

bool phantom_write_nifti(const char *path, const phantom_scan *scan)
{
    (void)scan;
    fprintf(stderr, "phantoms: %s: built without libnifti2 (Debian: libnifti2-dev)\n", path);
    return false;
}
