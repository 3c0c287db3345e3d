/* Resampling of scans along each axis on its own.
 * In: one frame of a scan and a size. Out: its rows at that size, as doubles in stored values.
 * By area average along an axis that shrinks, linear along one that grows; nothing is rounded on the way. */
#include "data/scan.h"

#include <stdlib.h>
#include <string.h>

/* The source positions behind each output position along one axis: count[i] of them from first[i], with weights at
 * weight[start[i]]. */
typedef struct taps {
    int *first, *count;
    size_t *start;
    double *weight;
} taps;

static void free_taps(taps *t)
{
    free(t->first);
    free(t->count);
    free(t->start);
    free(t->weight);
}

static bool make_taps(taps *t, int in, int out)
{
    /* Shrinking: an output position covers in/out source positions, so it touches at most that many and two more. */
    size_t most = out < in ? (size_t)(in / out) + 3 : 2;
    t->first = malloc(sizeof(int) * (size_t)out);
    t->count = malloc(sizeof(int) * (size_t)out);
    t->start = malloc(sizeof(size_t) * (size_t)out);
    t->weight = malloc(sizeof(double) * most * (size_t)out);
    if (!t->first || !t->count || !t->start || !t->weight)
        return false;
    size_t used = 0;
    for (int i = 0; i < out; i++) {
        t->start[i] = used;
        if (out < in) {
            /* Exact in integers: position i covers [i*in, (i+1)*in) in units of 1/out source positions. */
            int64_t from = (int64_t)i * in, to = from + in;
            int first = (int)(from / out), last = (int)((to - 1) / out);
            t->first[i] = first;
            t->count[i] = last - first + 1;
            for (int s = first; s <= last; s++) {
                int64_t left = (int64_t)s * out, right = left + out;
                int64_t covered = (right < to ? right : to) - (left > from ? left : from);
                t->weight[used++] = (double)covered / (double)in;
            }
        } else {
            double centre = ((double)i + 0.5) * (double)in / (double)out - 0.5;
            if (centre < 0)
                centre = 0;
            if (centre > in - 1)
                centre = in - 1;
            int first = (int)centre;
            double part = centre - first;
            t->first[i] = first;
            t->count[i] = part > 0 ? 2 : 1;
            t->weight[used++] = part > 0 ? 1 - part : 1;
            if (part > 0)
                t->weight[used++] = part;
        }
    }
    return true;
}

/* What resampling works with. Neighbouring output rows (slices) share at most two source rows (slices): these are kept. */
typedef struct work {
    const anl_scan *scan;
    int frame, width, height;
    size_t row_values;
    taps across, down, through;
    double *source; /* a source row */
    double *rows[2];
    int kept_row[2];
    double *slices[2], *sum; /* only where depths differ */
    int kept_slice[2];
} work;

/* One source row, resampled across. */
static void resample_row(const work *w, int z, int y, double *to)
{
    const anl_scan *s = w->scan;
    size_t channels = (size_t)s->channels;
    int64_t row = (((int64_t)w->frame * s->depth + z) * s->height + y) * s->width * s->channels;
    anl_scan_stored(s, row, (int64_t)s->width * s->channels, w->source);
    for (int x = 0; x < w->width; x++) {
        const double *weight = w->across.weight + w->across.start[x], *from = w->source + (size_t)w->across.first[x] * channels;
        for (size_t c = 0; c < channels; c++) {
            double sum = 0;
            for (int i = 0; i < w->across.count[x]; i++)
                sum += weight[i] * from[(size_t)i * channels + c];
            to[(size_t)x * channels + c] = sum;
        }
    }
}

/* One row of source slice z at the output's size in the plane. Rows come in ascending order. */
static void plane_row(work *w, int z, int y, double *row)
{
    memset(row, 0, sizeof(double) * w->row_values);
    for (int j = 0; j < w->down.count[y]; j++) {
        int source = w->down.first[y] + j, slot = source & 1;
        double weight = w->down.weight[w->down.start[y] + (size_t)j];
        if (w->kept_row[slot] != source) {
            resample_row(w, z, source, w->rows[slot]);
            w->kept_row[slot] = source;
        }
        for (size_t i = 0; i < w->row_values; i++)
            row[i] += weight * w->rows[slot][i];
    }
}

static void forget_rows(work *w) { w->kept_row[0] = w->kept_row[1] = -1; }

static void mix_slices(work *w, int z)
{
    size_t slice = w->row_values * (size_t)w->height;
    memset(w->sum, 0, sizeof(double) * slice);
    for (int j = 0; j < w->through.count[z]; j++) {
        int source = w->through.first[z] + j, slot = source & 1;
        double weight = w->through.weight[w->through.start[z] + (size_t)j];
        if (w->kept_slice[slot] != source) {
            forget_rows(w);
            for (int y = 0; y < w->height; y++)
                plane_row(w, source, y, w->slices[slot] + (size_t)y * w->row_values);
            w->kept_slice[slot] = source;
        }
        for (size_t i = 0; i < slice; i++)
            w->sum[i] += weight * w->slices[slot][i];
    }
}

anl_status anl_scan_resample(const anl_scan *scan, int frame, int out_width, int out_height, int out_depth,
                             void (*emit)(void *context, int z, int y, const double *row), void *context)
{
    work w = {.scan = scan,
              .frame = frame,
              .width = out_width,
              .height = out_height,
              .row_values = (size_t)out_width * (size_t)scan->channels,
              .kept_slice = {-1, -1}};
    const bool through = scan->depth != out_depth;
    size_t slice = sizeof(double) * w.row_values * (size_t)out_height;
    w.source = malloc(sizeof(double) * (size_t)scan->width * (size_t)scan->channels);
    double *row = malloc(sizeof(double) * w.row_values);
    bool good = w.source && row;
    for (int i = 0; i < 2; i++) {
        w.rows[i] = malloc(sizeof(double) * w.row_values);
        w.slices[i] = through ? malloc(slice) : NULL;
        good = good && w.rows[i] && (!through || w.slices[i]);
    }
    w.sum = through ? malloc(slice) : NULL;
    good = good && (!through || w.sum) && make_taps(&w.across, scan->width, out_width) &&
           make_taps(&w.down, scan->height, out_height) && (!through || make_taps(&w.through, scan->depth, out_depth));
    for (int z = 0; z < out_depth && good; z++) {
        if (through)
            mix_slices(&w, z);
        else
            forget_rows(&w);
        for (int y = 0; y < out_height; y++) {
            if (!through)
                plane_row(&w, z, y, row);
            emit(context, z, y, through ? w.sum + (size_t)y * w.row_values : row);
        }
    }
    free_taps(&w.across);
    free_taps(&w.down);
    free_taps(&w.through);
    free(w.source);
    free(row);
    free(w.sum);
    for (int i = 0; i < 2; i++) {
        free(w.rows[i]);
        free(w.slices[i]);
    }
    return good ? ANL_OK : ANL_ERROR_MEMORY;
}
