/* Pixels as a PNG in memory, through libpng.
 * In: grey or RGB pixels of 8 bits. Out: the bytes of a PNG.
 * Through libpng's simplified interface: nothing in it jumps. */
#include "data/png_write.h"

#include <png.h>
#include <stdlib.h>

bool anl_png_write(const uint8_t *pixels, int width, int height, int channels, unsigned char **bytes, size_t *length)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = (png_uint_32)height,
                       .format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY};
    png_alloc_size_t size = 0;
    *bytes = NULL;
    const bool good = png_image_write_get_memory_size(image, size, 0, pixels, 0, NULL) && (*bytes = malloc(size)) &&
                      png_image_write_to_memory(&image, *bytes, &size, 0, pixels, 0, NULL);
    png_image_free(&image);
    if (!good) {
        free(*bytes);
        *bytes = NULL;
    }
    *length = good ? size : 0;
    return good;
}
