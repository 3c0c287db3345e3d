/* What the reader of DICOM files asks of DCMTK, as plain C.
 * In: an open file. Out: values of its data elements and the samples of its frames as stored, or a reason why not.
 * dicom.cc is the one file that knows DCMTK; what the values mean is up to scan_dicom.c. */
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

/* Reads all but large values, which stay in the file; it must stay open until anl_dicom_close. Bounded in memory and depth, whatever
 * the file says. */
anl_status anl_dicom_open(FILE *file, anl_dicom **out, char reason[ANL_REASON_SIZE]);
void anl_dicom_close(anl_dicom **dicom);

/* Tags are (group << 16 | element). Values are looked for where `sequence` is 0: in the data set itself; else in the first item of
 * that sequence: of frame `frame`'s functional groups (frame >= 0), or of the shared ones, or of the data set. */
typedef struct anl_dicom_place {
    int frame;
    uint32_t sequence, tag;
} anl_dicom_place;
/* The value as text, without the blanks around it; several are separated by backslashes. False and "" where it is absent or empty. */
bool anl_dicom_text(anl_dicom *dicom, anl_dicom_place place, char *text, size_t size);
/* How many numbers it has, of which the first `count` are put into values; tags count as numbers. 0: it is absent, empty, or not of
 * numbers: digits that stop halfway are none. */
int anl_dicom_numbers(anl_dicom *dicom, anl_dicom_place place, double *values, int count);
/* All words of a lookup table; malloc'd. False: absent. */
bool anl_dicom_words(anl_dicom *dicom, anl_dicom_place place, uint16_t **words, size_t *count);
/* Items of a sequence of the data set. */
int anl_dicom_items(const anl_dicom *dicom, uint32_t sequence);
/* Items of the functional groups of each frame: the number of frames, or 0 where there are none. */
int anl_dicom_frame_groups(const anl_dicom *dicom);

/* The pixels. */
typedef enum anl_dicom_kind {
    ANL_DICOM_NONE,    /* it has none */
    ANL_DICOM_PLAIN,   /* integers as they lie */
    ANL_DICOM_FLOAT,   /* float32 */
    ANL_DICOM_DOUBLE,  /* float64 */
    ANL_DICOM_RLE,     /* each of the following is decoded frame by frame */
    ANL_DICOM_JPEG,
    ANL_DICOM_JPEG_LS,
} anl_dicom_kind;
typedef struct anl_dicom_pixels {
    anl_dicom_kind kind;
    uint64_t bytes;  /* plain, float and double: of all frames */
    int parts;       /* the others: pieces of data; a frame has one or several */
    bool big_endian; /* of the file: matters for words of more than two bytes */
} anl_dicom_pixels;
/* Fails for what DCMTK cannot decode, with the remedy. */
anl_status anl_dicom_find_pixels(anl_dicom *dicom, anl_dicom_pixels *out, char reason[ANL_REASON_SIZE]);
/* Plain, float and double: bytes in this machine's order, as words of the width that the data element has. */
anl_status anl_dicom_read(anl_dicom *dicom, uint64_t offset, size_t bytes, void *out, char reason[ANL_REASON_SIZE]);
/* What a compressed frame says of itself. */
typedef struct anl_dicom_frame {
    int width, height, samples;
    int bits; /* of a sample; 0: the frame does not say (RLE) */
} anl_dicom_frame;
/* JPEG: of the first frame. */
anl_status anl_dicom_first_frame(anl_dicom *dicom, anl_dicom_frame *out, char reason[ANL_REASON_SIZE]);
/* Decodes the next frame, from the first on: samples of sample_bytes each, pixel by pixel, of a frame like `expected` and nothing
 * else. rgb: it was YBR and has become RGB. */
anl_status anl_dicom_decode(anl_dicom *dicom, const anl_dicom_frame *expected, int sample_bytes, void *out, bool *rgb,
                            char reason[ANL_REASON_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
