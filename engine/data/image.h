/* Reading of image files and resampling, as the rest of the data layer uses them.
 * In: TIFF, PNG and JPEG files, told apart by their first bytes. Out: pixels as stored, or a reason why not.
 * No function here keeps state, so any number of threads may call them at once. */
#ifndef ANL_DATA_IMAGE_H
#define ANL_DATA_IMAGE_H

#include <anlage/dataset.h>
#include <stddef.h>
#include <stdio.h>

/* Bounds that hold for every reader, checked before pixels are allocated. */
#define ANL_IMAGE_MAX_SIDE 65536
#define ANL_IMAGE_MAX_BYTES ((size_t)1 << 30)
#define ANL_REASON_SIZE 320

typedef enum anl_image_kind { ANL_IMAGE_UNKNOWN, ANL_IMAGE_TIFF, ANL_IMAGE_PNG, ANL_IMAGE_JPEG } anl_image_kind;

/* What a reader learned besides the pixels. */
typedef struct anl_image_facts {
    anl_image_kind kind;
    int pages; /* TIFF: directories in the file; only the first is read. Otherwise 1. */
    int bits;  /* 8 or 16 */
} anl_image_facts;

/* Tells the kind of an image by its first bytes (8 are enough). */
anl_image_kind anl_image_sniff(const unsigned char *bytes, size_t length);
/* Reads a whole image. On failure *out is empty and reason says why in words that follow "cannot read PATH: ". */
anl_status anl_image_decode(const char *path, anl_image *out, anl_image_facts *facts, char reason[ANL_REASON_SIZE]);
/* Only the header: kind and bits. */
anl_status anl_image_probe(const char *path, anl_image_facts *facts, char reason[ANL_REASON_SIZE]);

/* Checks the bounds and allocates pixels (zeroed) for width, height, channels and bits already set in *image. */
anl_status anl_image_allocate(anl_image *image, char reason[ANL_REASON_SIZE]);

/* The three readers. With out NULL they read no more than the header. The file is at its beginning. */
anl_status anl_image_decode_tiff(FILE *file, anl_image *out, anl_image_facts *facts, char reason[ANL_REASON_SIZE]);
anl_status anl_image_decode_png(FILE *file, anl_image *out, anl_image_facts *facts, char reason[ANL_REASON_SIZE]);
anl_status anl_image_decode_jpeg(FILE *file, anl_image *out, anl_image_facts *facts, char reason[ANL_REASON_SIZE]);

/* Separable resampling with double accumulators: along each axis by area average when it shrinks, bilinear (pixel centres, edges
 * held) when it grows. emit is called once for each output row, from top to bottom, with out_width * channels values. */
anl_status anl_image_resample(const anl_image *image, int out_width, int out_height,
                              void (*emit)(void *context, int y, const double *row), void *context);

#endif
