/* The module that draws sheets: what crosses between it and the engine.
 * In: a sheet. Out: the bytes of a PNG. Loading cairo would add a third to every command's start, so this is a library of its
 * own, opened when a PNG is asked for; it needs nothing of the engine. */
#ifndef ANL_RUN_PREVIEW_MODULE_H
#define ANL_RUN_PREVIEW_MODULE_H

#include <stdbool.h>
#include <stddef.h>

#include "run/preview_sheet.h"

enum { SHEET_MOST_SIDE = 32000 }; /* pixels: cairo's pictures have 32767 at most */

/* Sizes are set in any case; with a side beyond SHEET_MOST_SIDE nothing is drawn. *png: malloc'd, NULL where nothing was drawn.
 * False: no memory. */
typedef bool sheet_draw(const sheet *s, int *width, int *height, unsigned char **png, size_t *length);
__attribute__((visibility("default"))) sheet_draw anl_preview_module;

#endif
