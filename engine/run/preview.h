/* What the files of the preview share: the sheet, the draws of views, grey levels.
 * In: samples, graphs, values. Out: a sheet of pictures and texts, and its PNG or HTML.
 * preview.c puts sheets together, preview_draws.c knows draws, preview_show.c makes pictures of values, preview_png.c and
 * preview_html.c write; preview_cairo.c draws. */
#ifndef ANL_RUN_PREVIEW_H
#define ANL_RUN_PREVIEW_H

#include <anlage/preview.h>

#include "data/shard_sample.h"
#include "graph/graph.h"
#include "run/preview_sheet.h"
#include "run/session.h"

/* ---- the sheet ---- */
void sheet_free(sheet *s); /* the pixels; all else is in the arena */

/* Whether this build draws PNGs (A0831), asked before the work begins. */
anl_status sheet_png_ready(const char *path, anl_diagnostics *diagnostics);
/* Write atomically. *width, *height: of the picture. */
anl_status sheet_write_png(const sheet *s, const char *path, int *width, int *height, anl_diagnostics *diagnostics);
anl_status sheet_write_html(const sheet *s, const char *path, anl_diagnostics *diagnostics);
anl_status sheet_cannot_write(const char *path, const char *why, anl_diagnostics *diagnostics); /* A0830 */

/* ---- pictures of values ---- */
typedef struct grey_window {
    double low, high; /* black, white */
    const char *text; /* for people */
} grey_window;

/* One image or volume: `values` with element strides of channel, z, y, x. */
typedef struct shown {
    const void *values;
    bool doubles;
    int size[3];       /* x, y, z; z 1: an image */
    int64_t stride[3]; /* x, y, z */
    int channels;
    int64_t channel_stride;
    double spacing[3]; /* along x, y, z; 0: not known */
    const anl_sample_box *boxes; /* whose outlines are drawn into it */
    int box_count;
} shown;

/* What the outline of a box is drawn in, for people. */
const char *show_colour(int box);

/* The picture, or the three planes through the middle, or the first box's. *scale: "2x", how far a pixel is enlarged. False: no memory. */
bool show(const shown *what, const grey_window *window, anl_arena *arena, sheet_cell *cell, const char **scale);
/* The values below which these shares of all collected ones lie. */
typedef struct value_pool {
    float *values;
    int64_t count, capacity;
} value_pool;
bool pool_add(value_pool *pool, const shown *what); /* false: no memory */
void pool_range(value_pool *pool, double low_share, double high_share, double range[2]);
void pool_free(value_pool *pool);

/* ---- draws of views ---- */
typedef struct view_draw {
    const anl_graph *graph;
    const anl_node *node;
    anl_node shape;            /* the node as it was traced: axes, order of elements, key */
    const char *group, *label; /* "random_affine_crop", "degrees" */
    const anl_node **chain; /* from the draw to the value that is shown: each has the one before and else constants as operands */
    int chain_count, chain_capacity;
    bool own[ANL_MAX_AXES]; /* of shape.attrs.over: an axis of its values, not of copies */
    int64_t values;         /* of one copy of one sample */
    bool condition;         /* it decides whether: bernoulli(p) */
    bool few;               /* few enough values for a sample to be told and set */
    bool fixed;             /* it comes to the same whatever is drawn: a range of one number, a chance of 0 */
} view_draw;

typedef struct view_draws {
    const char *view;
    view_draw *draws;
    int count, capacity;
} view_draws;

/* All draws that the output of a view depends on, in the order of the graph. */
void draws_find(const anl_graph *graph, const anl_node *view, const char *name, const anl_recipe *recipe,
                const anl_diagnostics *sources, anl_arena *arena, view_draws *out);
/* Whether an axis tells copies of an image apart: not batch, nor one of the image. */
bool axis_of_copies(const char *name);
/* Which of the values of its copy an element is. */
int64_t draw_place(const view_draw *draw, int64_t element);
/* Whether one of a view's calls (a group) lies within another. */
bool group_within(const char *group, const char *outer);
/* What the draw comes to for a sample of the batch and the copy at these positions of copy axes, element after element:
 * "0.81 1.2". unit gives what is drawn, uniform or normal. */
typedef double draw_unit(void *context, const view_draw *draw, int64_t element, int64_t sample);
const char *draw_text(const view_draw *draw, int64_t sample, const char *const *copy_axes, const int *copy_at, int copy_count,
                      draw_unit *unit, void *context, anl_arena *arena);
/* What the device draws: uniform in [0, 1) or normal. */
double draw_value(const anl_node *node, int64_t element, int64_t sample, int64_t step);

#endif
