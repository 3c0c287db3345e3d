/* What the reader of DICOM files asks of DCMTK, as plain C.
 * In: an open file. Out: values of its data elements and the samples of its frames as stored, or a reason why not.
 * dicom.cc is the one file that knows DCMTK; what the values mean is up to scan_dicom.c. DCMTK takes as long to load as all else together, so
 * dicom.cc is a module, loaded when the first DICOM file is met. */
#ifndef ANL_DATA_DICOM_H
#define ANL_DATA_DICOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "data/scan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A file while it is read. One thread at a time; any number of files in any number of threads. */
typedef struct anl_dicom anl_dicom;

/* Where a value is. Tags are (group << 16 | element). It is looked for where `sequence` is 0: in the data set itself; else in the first
 * item of that sequence: of frame `frame`'s functional groups (frame >= 0), or of the shared ones, or of the data set. */
typedef struct anl_dicom_place {
    int frame;
    uint32_t sequence, tag;
} anl_dicom_place;

typedef enum anl_dicom_kind {
    ANL_DICOM_NONE,   /* it has no pixels */
    ANL_DICOM_PLAIN,  /* integers as they lie */
    ANL_DICOM_FLOAT,  /* float32 */
    ANL_DICOM_DOUBLE, /* float64 */
    ANL_DICOM_RLE,    /* each of the following is decoded frame by frame */
    ANL_DICOM_JPEG,
    ANL_DICOM_JPEG_LS,
} anl_dicom_kind;
typedef struct anl_dicom_pixels {
    anl_dicom_kind kind;
    uint64_t bytes;  /* plain, float and double: of all frames */
    int parts;       /* the others: pieces of data; a frame has one or several */
    bool big_endian; /* of the file: matters for words of more than two bytes */
} anl_dicom_pixels;
/* What a compressed frame says of itself. */
typedef struct anl_dicom_frame {
    int width, height, samples;
    int bits; /* of a sample; 0: the frame does not say (RLE) */
} anl_dicom_frame;

typedef struct anl_dicom_library {
    /* Reads all but large values, which stay in the file; it must stay open until `close`. Bounded in memory and depth, whatever the
     * file says. */
    anl_status (*open)(FILE *file, anl_dicom **out, char reason[ANL_REASON_SIZE]);
    void (*close)(anl_dicom **dicom);
    /* The value as text, without the blanks around it; several are separated by backslashes. False and "" where it is absent or
     * empty. */
    bool (*text)(anl_dicom *dicom, anl_dicom_place place, char *text, size_t size);
    /* How many numbers it has, of which the first `count` are put into values; tags count as numbers. 0: it is absent, empty, or not
     * of numbers: digits that stop halfway are none. */
    int (*numbers)(anl_dicom *dicom, anl_dicom_place place, double *values, int count);
    /* All words of a lookup table; malloc'd. False: absent. */
    bool (*words)(anl_dicom *dicom, anl_dicom_place place, uint16_t **words, size_t *count);
    /* Items of a sequence of the data set. */
    int (*items)(const anl_dicom *dicom, uint32_t sequence);
    /* Items of the functional groups of each frame: the number of frames, or 0 where there are none. */
    int (*frame_groups)(const anl_dicom *dicom);
    /* Fails for what DCMTK cannot decode, with the remedy. */
    anl_status (*find_pixels)(anl_dicom *dicom, anl_dicom_pixels *out, char reason[ANL_REASON_SIZE]);
    /* Plain, float and double: bytes in this machine's order, as words of the width that the data element has. */
    anl_status (*read)(anl_dicom *dicom, uint64_t offset, size_t bytes, void *out, char reason[ANL_REASON_SIZE]);
    /* JPEG: of the first frame. */
    anl_status (*first_frame)(anl_dicom *dicom, anl_dicom_frame *out, char reason[ANL_REASON_SIZE]);
    /* Decodes the next frame, from the first on: samples of sample_bytes each, pixel by pixel, of a frame like `expected` and nothing
     * else. rgb: it was YBR and has become RGB. */
    anl_status (*decode)(anl_dicom *dicom, const anl_dicom_frame *expected, int sample_bytes, void *out, bool *rgb,
                         char reason[ANL_REASON_SIZE]);
} anl_dicom_library;
/* What the module exports, by this name. */
extern
#ifdef __GNUC__
    __attribute__((visibility("default")))
#endif
    const anl_dicom_library anl_dicom_module;

#ifdef __cplusplus
}
#endif

#endif
