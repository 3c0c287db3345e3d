/* The body in a scan: a threshold, connected runs of voxels, the box of the largest region.
 * In: a scan. Out: a box, or the scan cropped to it.
 * Regions are joined from runs along x (union and find), so memory goes with the outline of what is seen and not with its volume. */
#include "data/body.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BINS = 256 };
#define AIR_HU -500.0

/* One row, [frame][z][y] of them, in grey, as packing makes grey of colour. values: room for the row in colour. */
static void grey_row(const anl_scan *s, int64_t row, double *values)
{
    const int64_t length = (int64_t)s->width * s->channels;
    anl_scan_stored(s, row * length, length, values);
    for (int x = 0; s->channels == 3 && x < s->width; x++)
        values[x] = (299 * values[3 * x] + 587 * values[3 * x + 1] + 114 * values[3 * x + 2]) / 1000;
}

/* The split of a histogram into two classes that lie farthest apart: between bins k and k + 1. */
static int otsu(const int64_t bins[BINS])
{
    double total = 0, sum = 0, below = 0, below_sum = 0, most = -1;
    int first = 0, last = 0; /* of the splits that are best alike, as in a gap between classes: their middle */
    for (int b = 0; b < BINS; b++) {
        total += (double)bins[b];
        sum += (double)bins[b] * b;
    }
    for (int b = 0; b < BINS - 1; b++) {
        below += (double)bins[b];
        below_sum += (double)bins[b] * b;
        if (!(below > 0) || !(total - below > 0))
            continue;
        const double apart = below_sum / below - (sum - below_sum) / (total - below), between = below * (total - below) * apart * apart;
        if (between > most) {
            most = between;
            first = b;
        }
        if (between >= most)
            last = b;
    }
    return (first + last) / 2;
}

double anl_body_threshold(const anl_scan *s)
{
    if (!strcmp(s->unit, "HU") && s->slope > 0)
        return (AIR_HU - s->intercept) / s->slope;
    double *row = malloc(sizeof(double) * (size_t)s->width * (size_t)s->channels), low = INFINITY, high = -INFINITY;
    int64_t bins[BINS] = {0};
    for (int pass = 0; row && pass < 2; pass++)
        for (int64_t r = 0; r < (int64_t)s->frames * s->depth * s->height; r++) {
            grey_row(s, r, row);
            for (int x = 0; x < s->width; x++)
                if (pass == 0) {
                    low = row[x] < low ? row[x] : low;
                    high = row[x] > high ? row[x] : high;
                } else if (low < high)
                    bins[(int)fmin((row[x] - low) / (high - low) * BINS, BINS - 1)]++;
        }
    free(row);
    return low < high ? low + (high - low) * (otsu(bins) + 1) / BINS : NAN;
}

/* Voxels from x of one row that are body up to but not including end. */
typedef struct run {
    int x, end, y, z;
    int64_t up; /* towards the first run of the region */
} run;

typedef struct region {
    int64_t voxels;
    int box[3][2];
} region;

static int64_t root_of(run *runs, int64_t i)
{
    while (runs[i].up != i)
        i = runs[i].up = runs[runs[i].up].up;
    return i;
}

/* Joins runs from a to its end with those from b to its end that touch them: two neighbouring rows. */
static void join(run *runs, int64_t a, int64_t a_end, int64_t b, int64_t b_end)
{
    while (a < a_end && b < b_end) {
        if (runs[a].x < runs[b].end && runs[b].x < runs[a].end) {
            const int64_t x = root_of(runs, a), y = root_of(runs, b);
            runs[x > y ? x : y].up = x > y ? y : x; /* the first of a region leads it */
        }
        if (runs[a].end < runs[b].end)
            a++;
        else
            b++;
    }
}

/* Extends box by the largest region of one frame. */
static bool frame_box(const anl_scan *s, int frame, double threshold, int box[3][2])
{
    run *runs = NULL;
    int64_t count = 0, capacity = 0;
    double *row = malloc(sizeof(double) * (size_t)s->width * (size_t)s->channels);
    int64_t *begins = calloc(2 * ((size_t)s->height + 1), sizeof *begins), *above = begins; /* of the rows of this slice, and of the one before */
    bool good = row && begins;
    for (int z = 0; z < s->depth && good; z++) {
        int64_t *here = begins + (z % 2) * (s->height + 1);
        above = begins + (1 - z % 2) * (s->height + 1);
        for (int y = 0; y < s->height && good; y++) {
            grey_row(s, ((int64_t)frame * s->depth + z) * s->height + y, row);
            here[y] = count;
            for (int x = 0; x < s->width && good; x++) {
                if (!(row[x] > threshold))
                    continue;
                if (count == capacity) {
                    capacity = capacity ? 2 * capacity : 1024;
                    run *grown = realloc(runs, sizeof *runs * (size_t)capacity);
                    good = grown != NULL;
                    runs = grown ? grown : runs;
                }
                int end = x + 1;
                while (end < s->width && row[end] > threshold)
                    end++;
                if (good) {
                    runs[count] = (run){x, end, y, z, count};
                    count++;
                }
                x = end;
            }
            here[y + 1] = count;
            if (good && y > 0)
                join(runs, here[y - 1], here[y], here[y], count);
            if (good && z > 0)
                join(runs, above[y], above[y + 1], here[y], count);
        }
    }
    region *regions = calloc((size_t)count + 1, sizeof *regions);
    good = good && regions;
    int64_t largest = -1;
    for (int64_t i = 0; good && i < count; i++) {
        region *r = &regions[root_of(runs, i)];
        const int here[3][2] = {{runs[i].x, runs[i].end}, {runs[i].y, runs[i].y + 1}, {runs[i].z, runs[i].z + 1}};
        for (int a = 0; a < 3; a++) {
            r->box[a][0] = r->voxels == 0 || here[a][0] < r->box[a][0] ? here[a][0] : r->box[a][0];
            r->box[a][1] = here[a][1] > r->box[a][1] ? here[a][1] : r->box[a][1];
        }
        r->voxels += runs[i].end - runs[i].x;
    }
    for (int64_t i = 0; good && i < count; i++) /* of those alike, the first */
        if (regions[i].voxels > 0 && (largest < 0 || regions[i].voxels > regions[largest].voxels))
            largest = i;
    for (int a = 0; a < 3 && good && largest >= 0; a++) {
        box[a][0] = regions[largest].box[a][0] < box[a][0] ? regions[largest].box[a][0] : box[a][0];
        box[a][1] = regions[largest].box[a][1] > box[a][1] ? regions[largest].box[a][1] : box[a][1];
    }
    free(regions);
    free(runs);
    free(row);
    free(begins);
    return good;
}

bool anl_body_box(const anl_scan *s, int box[3][2])
{
    const int dims[3] = {s->width, s->height, s->depth};
    const double threshold = anl_body_threshold(s);
    for (int a = 0; a < 3; a++) {
        box[a][0] = dims[a];
        box[a][1] = 0;
    }
    for (int frame = 0; frame < s->frames && !isnan(threshold); frame++)
        if (!frame_box(s, frame, threshold, box))
            return false;
    for (int a = 0; a < 3; a++)
        if (box[a][0] >= box[a][1]) {
            box[a][0] = 0;
            box[a][1] = dims[a];
        }
    return true;
}

anl_status anl_body_crop(anl_scan *s, bool along_z, anl_body_margin margin, int box[3][2], char reason[ANL_REASON_SIZE])
{
    const int dims[3] = {s->width, s->height, s->depth};
    if (!anl_body_box(s, box))
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory to find the body in it");
    for (int a = 0; a < 3; a++) {
        if (a == 2 && !along_z) {
            box[a][0] = 0;
            box[a][1] = dims[a];
            continue;
        }
        if (margin.mm && margin.size > 0 && !(s->spacing[a] > 0))
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it does not say its spacing, so a margin of %g mm is not known in it", margin.size);
        const double voxels = ceil(margin.mm && margin.size > 0 ? margin.size / s->spacing[a] - 1e-9 : margin.size);
        box[a][0] = (int)fmax(0, box[a][0] - voxels);
        box[a][1] = (int)fmin(dims[a], box[a][1] + voxels);
    }
    /* Rows move towards the front, never past one that is still to be moved. */
    const size_t voxel = (size_t)s->channels * (size_t)anl_voxel_bytes(s->type), length = (size_t)(box[0][1] - box[0][0]) * voxel;
    uint8_t *to = s->voxels;
    for (int frame = 0; frame < s->frames; frame++)
        for (int z = box[2][0]; z < box[2][1]; z++)
            for (int y = box[1][0]; y < box[1][1]; y++, to += length) {
                const size_t row = ((size_t)frame * (size_t)s->depth + (size_t)z) * (size_t)s->height + (size_t)y;
                memmove(to, (uint8_t *)s->voxels + (row * (size_t)s->width + (size_t)box[0][0]) * voxel, length);
            }
    for (int i = 0; i < 3; i++)
        for (int a = 0; a < 3; a++)
            s->affine[i][3] += s->affine[i][a] * box[a][0];
    s->width = box[0][1] - box[0][0];
    s->height = box[1][1] - box[1][0];
    s->depth = box[2][1] - box[2][0];
    return ANL_OK;
}
