/* Pixels as a PNG in memory.
 * In: grey or RGB pixels of 8 bits. Out: the bytes of a PNG, the same for the same pixels.
 * Keeps no state: usable from several threads at once. */
#ifndef ANL_DATA_PNG_WRITE_H
#define ANL_DATA_PNG_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* pixels: [height][width][channels], channels 1 or 3. *bytes: malloc'd. False: no memory. */
bool anl_png_write(const uint8_t *pixels, int width, int height, int channels, unsigned char **bytes, size_t *length);

#endif
