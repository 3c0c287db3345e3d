/* Phantoms as TIFF, through LibTIFF.
 * In: a scan. Out: a file of one page a slice.
 * The resolution in the plane is kept; TIFF has no place for more. */
#include <stdio.h>
#include <stdlib.h>
#include <tiffio.h>

#include "phantom_files.h"

static bool write_page(TIFF *tiff, const phantom_scan *s, int page)
{
    const bool bytes = s->bits == 8;
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, (uint32_t)s->width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, (uint32_t)s->height);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, bytes ? 8 : 16);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
    TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_ADOBE_DEFLATE);
    TIFFSetField(tiff, TIFFTAG_RESOLUTIONUNIT, RESUNIT_CENTIMETER);
    TIFFSetField(tiff, TIFFTAG_XRESOLUTION, 10 / s->spacing[0]);
    TIFFSetField(tiff, TIFFTAG_YRESOLUTION, 10 / s->spacing[1]);
    uint16_t *line = malloc(sizeof *line * (size_t)s->width);
    bool good = line != NULL;
    for (int y = 0; good && y < s->height; y++) {
        const uint16_t *from = s->voxels + ((size_t)page * (size_t)s->height + (size_t)y) * (size_t)s->width;
        for (int x = 0; x < s->width; x++) {
            if (bytes)
                ((uint8_t *)line)[x] = (uint8_t)from[x];
            else
                line[x] = from[x];
        }
        good = TIFFWriteScanline(tiff, line, (uint32_t)y, 0) == 1;
    }
    free(line);
    return good && (page + 1 == s->depth || TIFFWriteDirectory(tiff) == 1);
}

bool phantom_write_tiff(const char *path, const phantom_scan *s)
{
    TIFF *tiff = TIFFOpen(path, "w"); /* LibTIFF itself says on stderr what went wrong */
    bool good = tiff != NULL;
    for (int page = 0; good && page < s->depth; page++)
        good = write_page(tiff, s, page);
    if (tiff) {
        good = TIFFFlush(tiff) == 1 && good;
        TIFFClose(tiff);
        if (!good)
            remove(path);
    }
    return good;
}
