/* Pictures of values: grey levels, sizes, the planes of volumes.
 * In: an image or volume of floats and the window to show it in. Out: pixels of 8 bits, enlarged by whole factors or reduced by
 * means, and the range of values of many images together. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/preview.h"

/* Longest side of a picture on the sheet, and of a plane of a volume; and what a side may be before it is reduced. */
enum { SIDE = 176, PLANE = 112, MOST = 256 };

static double value_at(const shown *w, int64_t offset)
{
    return w->doubles ? ((const double *)w->values)[offset] : (double)((const float *)w->values)[offset];
}

static uint8_t grey(double value, const grey_window *window)
{
    const double part = (value - window->low) / (window->high - window->low);
    return !(part > 0) ? 0 : part >= 1 ? 255 : (uint8_t)(part * 255 + 0.5); /* what is no number is black */
}

/* Source pixels [first, last) that pixel `at` of `to` shows of `from`: the nearest, or all that fall into it. */
static void covered(int at, int from, int to, int *first, int *last)
{
    if (to >= from) {
        *first = (int)(((double)at + 0.5) * from / to);
        *last = *first + 1;
    } else {
        *first = (int)((int64_t)at * from / to);
        *last = (int)(((int64_t)(at + 1) * from + to - 1) / to);
    }
}

/* The plane of axes `across` and `down` through `base`. */
static bool draw_plane(const shown *w, int across, int down, int64_t base, int width, int height, const grey_window *window,
                       sheet_picture *out)
{
    const int channels = w->channels == 3 ? 3 : 1;
    *out = (sheet_picture){.width = width, .height = height, .channels = channels, .caption = ""};
    out->pixels = malloc((size_t)width * (size_t)height * (size_t)channels);
    if (!out->pixels)
        return false;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            int x0, x1, y0, y1;
            covered(x, w->size[across], width, &x0, &x1);
            covered(y, w->size[down], height, &y0, &y1);
            for (int c = 0; c < channels; c++) {
                double sum = 0;
                for (int v = y0; v < y1; v++)
                    for (int u = x0; u < x1; u++)
                        sum += value_at(w, base + u * w->stride[across] + v * w->stride[down] + c * w->channel_stride);
                out->pixels[((size_t)y * (size_t)width + (size_t)x) * (size_t)channels + (size_t)c] =
                    grey(sum / ((double)(x1 - x0) * (double)(y1 - y0)), window);
            }
        }
    return true;
}

static const struct {
    const char *name;
    uint8_t rgb[3];
} colours[] = {{"amber", {255, 176, 0}}, {"cyan", {0, 220, 255}}, {"pink", {255, 90, 190}}, {"green", {90, 230, 90}}, {"red", {255, 70, 50}}, {"violet", {160, 120, 255}}};

const char *show_colour(int box) { return colours[box % (int)ANL_COUNT(colours)].name; }

/* Outlines of the boxes that the plane goes through. end: the picture's last row is the first along `down`. False: no memory. */
static bool draw_boxes(const shown *w, int across, int down, int through, double plane, bool end, sheet_picture *picture)
{
    const int width = picture->width, height = picture->height;
    if (w->box_count == 0)
        return true;
    if (picture->channels == 1) {
        uint8_t *rgb = malloc((size_t)width * (size_t)height * 3);
        if (!rgb)
            return false;
        for (size_t i = 0; i < (size_t)width * (size_t)height; i++)
            rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = picture->pixels[i];
        free(picture->pixels);
        picture->pixels = rgb;
        picture->channels = 3;
    }
    for (int b = 0; b < w->box_count; b++) {
        const anl_sample_box *box = &w->boxes[b];
        if (!(box->low[through] <= plane && plane < box->high[through]))
            continue;
        const double x_scale = (double)width / w->size[across], y_scale = (double)height / w->size[down];
        const double top = end ? w->size[down] - box->high[down] : box->low[down], bottom = end ? w->size[down] - box->low[down] : box->high[down];
        const double edges[4] = {floor(box->low[across] * x_scale), ceil(box->high[across] * x_scale) - 1, floor(top * y_scale), ceil(bottom * y_scale) - 1};
        int at[4];
        for (int i = 0; i < 4; i++) /* what is no number is at 0 */
            at[i] = (int)(edges[i] > 0 ? fmin(edges[i], (i < 2 ? width : height) - 1) : 0);
        for (int y = at[2]; y <= at[3]; y++)
            for (int x = at[0]; x <= at[1]; x++)
                if (x == at[0] || x == at[1] || y == at[2] || y == at[3])
                    memcpy(picture->pixels + 3 * ((size_t)y * (size_t)width + (size_t)x), colours[b % (int)ANL_COUNT(colours)].rgb, 3);
    }
    return true;
}

bool show(const shown *w, const grey_window *window, anl_arena *arena, sheet_cell *cell, const char **scale)
{
    /* in units of the finest spacing, so that a volume keeps its shape */
    const bool volume = w->size[2] > 1;
    double finest = INFINITY, longest = 0, step[3];
    for (int i = 0; i < (volume ? 3 : 2); i++)
        finest = w->spacing[i] > 0 ? fmin(finest, w->spacing[i]) : -1;
    for (int i = 0; i < 3; i++) {
        step[i] = volume && finest > 0 ? w->spacing[i] / finest : 1;
        longest = i < 2 || volume ? fmax(longest, w->size[i] * step[i]) : longest;
    }
    if (!(longest < 1e6)) { /* spacings that cannot be meant */
        longest = fmax(fmax(w->size[0], w->size[1]), volume ? w->size[2] : 0);
        step[0] = step[1] = step[2] = 1;
    }
    const double side = volume ? PLANE : SIDE;
    const double zoom = longest <= side ? floor(side / longest + 0.5) : longest <= MOST ? 1 : 1 / ceil(longest / MOST);
    int size[3];
    for (int i = 0; i < 3; i++)
        size[i] = (int)fmax(1, floor(w->size[i] * step[i] * zoom + 0.5));
    *scale = zoom == 1  ? ""
             : zoom > 1 ? anl_arena_printf(arena, "enlarged %.0f times", zoom)
                        : anl_arena_printf(arena, "reduced to 1/%.0f", 1 / zoom);
    int middle[3]; /* of the first box, where there is one: the middle of a volume may show none */
    for (int i = 0; i < 3; i++) {
        const double place = w->box_count > 0 ? (w->boxes[0].low[i] + w->boxes[0].high[i]) / 2 : w->size[i] / 2;
        middle[i] = place > 0 ? (int)fmin(place, w->size[i] - 1) : 0;
    }
    static const int planes[3][3] = {{0, 1, 2}, {0, 2, 1}, {1, 2, 0}}; /* across, down, through */
    static const char axes[] = "xyz";
    for (int p = 0; p < (volume ? 3 : 1); p++) {
        const int across = planes[p][0], down = planes[p][1], through = planes[p][2];
        sheet_picture *picture = &cell->pictures[cell->picture_count];
        shown turned = *w;
        int64_t base = volume ? middle[through] * w->stride[through] : 0;
        if (down == 2) { /* z rises from the feet to the head */
            base += (w->size[2] - 1) * w->stride[2];
            turned.stride[2] = -w->stride[2];
        }
        if (!draw_plane(&turned, across, down, base, size[across], size[down], window, picture))
            return false;
        if (!draw_boxes(w, across, down, through, volume ? middle[through] + 0.5 : 0.5, down == 2, picture)) {
            free(picture->pixels);
            picture->pixels = NULL;
            return false;
        }
        if (volume)
            picture->caption = anl_arena_printf(arena, "%c %d of %d%s", axes[through], middle[through] + 1, w->size[through],
                                                down == 2 ? ", z up" : "");
        cell->picture_count++;
    }
    return true;
}

bool pool_add(value_pool *pool, const shown *w)
{
    enum { MOST_OF_ONE = 1 << 16 };
    const int64_t all = (int64_t)w->size[0] * w->size[1] * w->size[2], stride = (all + MOST_OF_ONE - 1) / MOST_OF_ONE;
    const int64_t more = (all + stride - 1) / stride;
    if (pool->count + more > pool->capacity) {
        const int64_t capacity = 2 * pool->capacity + more;
        float *values = realloc(pool->values, sizeof *values * (size_t)capacity);
        if (!values)
            return false;
        pool->values = values;
        pool->capacity = capacity;
    }
    for (int64_t i = 0; i < all; i += stride) {
        const int64_t x = i % w->size[0], y = i / w->size[0] % w->size[1], z = i / w->size[0] / w->size[1];
        const double value = value_at(w, x * w->stride[0] + y * w->stride[1] + z * w->stride[2]);
        if (isfinite(value))
            pool->values[pool->count++] = (float)value;
    }
    return true;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

void pool_range(value_pool *pool, double low_share, double high_share, double range[2])
{
    range[0] = 0;
    range[1] = 1;
    if (pool->count == 0)
        return;
    qsort(pool->values, (size_t)pool->count, sizeof *pool->values, by_value);
    range[0] = (double)pool->values[(int64_t)(low_share * (double)(pool->count - 1))];
    range[1] = (double)pool->values[(int64_t)(high_share * (double)(pool->count - 1))];
}

void pool_free(value_pool *pool)
{
    free(pool->values);
    *pool = (value_pool){0};
}
