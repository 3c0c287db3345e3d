/* From a file to the samples of a pack: decoded, cropped, resampled to the size of the samples, and as the shards store them.
 * In: a file and the layout of the shards. Out: samples in bytes, their ranges, spacing and histogram; or why there are none.
 * Keeps no state: any number of threads. */
#include "data/pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/body.h"

#define RANGE_SHARE 0.005 /* of a sample's voxels, below and above its range */
#define RANGE_BINS 65536

/* A sample while it is filled: where the resampled scan lies in it, and how its values become stored ones. */
typedef struct canvas {
    const anl_shard_image *image;
    uint8_t *stored;
    anl_pack_way way;       /* of the scan into it */
    int source_channels;
    double factor, shift, low, high; /* stored = value of the scan * factor + shift, within low and high */
    double least;                    /* of what was put */
} canvas;

static void put(const canvas *c, size_t at, double v)
{
    if (c->image->type == ANL_VOXEL_F32) {
        ((float *)c->stored)[at] = (float)v;
        return;
    }
    v = floor(v + 0.5);
    v = v < c->low ? c->low : v > c->high ? c->high : v;
    switch (c->image->type) {
    case ANL_VOXEL_U8:
        c->stored[at] = (uint8_t)v;
        break;
    case ANL_VOXEL_U16:
        ((uint16_t *)c->stored)[at] = (uint16_t)v;
        break;
    case ANL_VOXEL_I16:
        ((int16_t *)c->stored)[at] = (int16_t)v;
        break;
    default:
        ((int32_t *)c->stored)[at] = (int32_t)v;
    }
}

static size_t place_of(const canvas *c, int z, int y, int x)
{
    const anl_shard_image *i = c->image;
    return (((size_t)z * (size_t)i->height + (size_t)y) * (size_t)i->width + (size_t)x) * (size_t)i->channels;
}

static void put_row(void *context, int z, int y, const double *row)
{
    canvas *c = context;
    const int channels = c->image->channels;
    z -= c->way.from[2];
    y -= c->way.from[1];
    if (z < 0 || z >= c->way.inner[2] || y < 0 || y >= c->way.inner[1])
        return;
    size_t at = place_of(c, c->way.at[2] + z, c->way.at[1] + y, c->way.at[0]);
    for (int x = 0; x < c->way.inner[0]; x++)
        for (int k = 0; k < channels; k++, at++) {
            const double *from = row + (size_t)(c->way.from[0] + x) * (size_t)c->source_channels;
            double v;
            if (c->source_channels == 3 && channels == 1) /* ITU-R BT.601 luma; exact where the three are equal */
                v = from[0] == from[1] && from[1] == from[2] ? from[0] : (299 * from[0] + 587 * from[1] + 114 * from[2]) / 1000;
            else
                v = from[c->source_channels == 3 ? k : 0];
            v = v * c->factor + c->shift;
            c->least = v < c->least ? v : c->least;
            put(c, at, v);
        }
}

/* What lies around the scan is black; where black is no value of its own, as dark as the scan gets. */
static void put_around(const canvas *c)
{
    const anl_shard_image *i = c->image;
    if (i->values == ANL_VALUES_FULL)
        return; /* zeroed */
    for (int z = 0; z < i->depth; z++)
        for (int y = 0; y < i->height; y++) {
            bool inside = z >= c->way.at[2] && z < c->way.at[2] + c->way.inner[2] && y >= c->way.at[1] && y < c->way.at[1] + c->way.inner[1];
            for (int x = 0; x < i->width; x++)
                if (!inside || x < c->way.at[0] || x >= c->way.at[0] + c->way.inner[0])
                    for (int k = 0; k < i->channels; k++)
                        put(c, place_of(c, z, y, x) + (size_t)k, c->least);
        }
}

/* The values below which RANGE_SHARE of the scan in the canvas lies, and above which as much does: from a histogram, so in linear time. */
static anl_status find_range(const canvas *c, double range[2])
{
    const anl_shard_image *i = c->image;
    const int64_t values = (int64_t)c->way.inner[0] * i->channels;
    double *row = malloc(sizeof(double) * (size_t)values), low = INFINITY, high = -INFINITY;
    int64_t *bins = calloc(RANGE_BINS, sizeof *bins);
    if (!row || !bins) {
        free(row);
        free(bins);
        return ANL_ERROR_MEMORY;
    }
    anl_scan scan = anl_shard_scan(i, c->stored);
    for (int pass = 0; pass < 2; pass++)
        for (int z = 0; z < c->way.inner[2]; z++)
            for (int y = 0; y < c->way.inner[1]; y++) {
                anl_scan_stored(&scan, (int64_t)place_of(c, c->way.at[2] + z, c->way.at[1] + y, c->way.at[0]), values, row);
                for (int64_t k = 0; k < values; k++)
                    if (pass == 0) {
                        low = row[k] < low ? row[k] : low;
                        high = row[k] > high ? row[k] : high;
                    } else if (high > low)
                        bins[(int)((row[k] - low) / (high - low) * (RANGE_BINS - 1))]++;
            }
    range[0] = low;
    range[1] = high;
    const double beyond = RANGE_SHARE * (double)values * c->way.inner[1] * c->way.inner[2];
    for (int end = 0; end < 2 && high > low; end++) {
        double sum = 0;
        for (int b = 0; b < RANGE_BINS; b++) {
            int bin = end ? RANGE_BINS - 1 - b : b;
            sum += (double)bins[bin];
            if (sum > beyond) {
                range[end] = low + (high - low) * bin / (RANGE_BINS - 1);
                break;
            }
        }
    }
    for (int end = 0; end < 2; end++)
        range[end] = range[end] * i->scale + i->offset;
    free(row);
    free(bins);
    return ANL_OK;
}

/* Every voxel of the scan in the canvas counts; what lies around it does not. range: of a relative sample, else NULL. */
static anl_status count_values(const canvas *c, anl_histogram_axis axis, const double *range, anl_histogram *histogram)
{
    const anl_shard_image *i = c->image;
    const int64_t values = (int64_t)c->way.inner[0] * i->channels;
    double *row = malloc(sizeof(double) * (size_t)values);
    if (!row)
        return ANL_ERROR_MEMORY;
    const double width = range ? range[1] - range[0] : 1, low = range ? range[0] : 0;
    anl_scan scan = anl_shard_scan(i, c->stored);
    for (int z = 0; z < c->way.inner[2]; z++)
        for (int y = 0; y < c->way.inner[1]; y++) {
            anl_scan_stored(&scan, (int64_t)place_of(c, c->way.at[2] + z, c->way.at[1] + y, c->way.at[0]), values, row);
            for (int64_t k = 0; k < values; k++) {
                const double v = row[k] * i->scale + i->offset;
                anl_histogram_count(histogram, axis, width > 0 ? (v - low) / width : 0);
            }
        }
    free(row);
    return ANL_OK;
}

/* Without a spacing asked for: the scan at the size of the samples; its longest side fills them, its shape (in mm, where the spacing is known)
 * is kept. */
static void fit(canvas *c, const anl_scan *scan, double spacing[3])
{
    const anl_shard_image *i = c->image;
    const int size[3] = {i->width, i->height, i->depth}, dims[3] = {scan->width, scan->height, scan->depth};
    const int axes = i->volume ? 3 : 2;
    bool known = true;
    for (int a = 0; a < axes; a++)
        known = known && scan->spacing[a] > 0;
    double extent[3] = {1, 1, 1};
    int tight = 0; /* the axis that fills its size */
    for (int a = 0; a < axes; a++) {
        extent[a] = known ? dims[a] * scan->spacing[a] : dims[a];
        if (size[a] * extent[tight] < size[tight] * extent[a])
            tight = a;
    }
    for (int a = 0; a < 3; a++) {
        double share = a < axes ? floor((2 * extent[a] * size[tight] + extent[tight]) / (2 * extent[tight])) : 1; /* rounds half up */
        c->way.shape[a] = share < 1 ? 1 : share > size[a] ? size[a] : (int)share;
        spacing[a] = known && a < axes ? extent[a] / c->way.shape[a] : scan->spacing[a];
    }
}

/* With a spacing asked for: the scan in voxels of that spacing, to the nearest whole number of them. */
static anl_status fit_spacing(canvas *c, const anl_scan *scan, const double asked[3], double spacing[3], char *reason)
{
    const int dims[3] = {scan->width, scan->height, scan->depth}, axes = c->image->volume ? 3 : 2;
    double voxels = scan->channels;
    for (int a = 0; a < 3; a++) {
        c->way.shape[a] = 1;
        spacing[a] = scan->spacing[a];
        if (a >= axes)
            continue;
        if (!(scan->spacing[a] > 0))
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it does not say its spacing along %c, so it cannot be brought to %g mm", "xyz"[a], asked[a]);
        const double extent = dims[a] * scan->spacing[a], count = fmax(1, floor(extent / asked[a] + 0.5));
        voxels *= count;
        if (voxels > (double)ANL_SCAN_MAX_BYTES / sizeof(double))
            return anl_scan_refuse(reason, ANL_ERROR_LIMIT, "it has more than %zu voxels at that spacing", ANL_SCAN_MAX_BYTES / sizeof(double));
        c->way.shape[a] = (int)count;
        spacing[a] = extent / count;
    }
    return ANL_OK;
}

/* In the middle of the sample: what is smaller has black around it, of what is larger the middle is seen. */
static void centre(canvas *c)
{
    const int size[3] = {c->image->width, c->image->height, c->image->depth};
    for (int a = 0; a < 3; a++) {
        c->way.inner[a] = c->way.shape[a] < size[a] ? c->way.shape[a] : size[a];
        c->way.at[a] = (size[a] - c->way.inner[a]) / 2;
        c->way.from[a] = (c->way.shape[a] - c->way.inner[a]) / 2;
    }
}

static void values_to_stored(const anl_pack_state *p, const anl_scan *scan, canvas *c)
{
    const anl_shard_image *i = c->image;
    bool is_signed = i->type == ANL_VOXEL_I16 || i->type == ANL_VOXEL_I32;
    c->low = is_signed ? -ldexp(1, 8 * anl_voxel_bytes(i->type) - 1) : 0;
    c->high = is_signed ? -1 - c->low : ldexp(1, i->values == ANL_VALUES_FULL ? i->bits : 8 * anl_voxel_bytes(i->type)) - 1;
    if (p->windowed) {
        double bottom = p->options->window[0] - p->options->window[1] / 2, stretch = c->high / p->options->window[1];
        c->factor = scan->slope * stretch;
        c->shift = (scan->intercept - bottom) * stretch;
    } else if (i->values == ANL_VALUES_FULL) {
        c->factor = c->high / (ldexp(1, scan->bits) - 1);
        c->shift = 0;
    } else {
        c->factor = scan->slope / i->scale;
        c->shift = (scan->intercept - i->offset) / i->scale;
    }
}

static bool all_finite(const anl_scan *scan)
{
    const int64_t count = anl_scan_count(scan);
    if (scan->type == ANL_VOXEL_F32) {
        for (int64_t k = 0; k < count; k++)
            if (!isfinite(((const float *)scan->voxels)[k]))
                return false;
    } else if (scan->type == ANL_VOXEL_F64)
        for (int64_t k = 0; k < count; k++)
            if (!isfinite(((const double *)scan->voxels)[k]))
                return false;
    return true;
}

/* Two scans have the same pixels when they are of the same size and type and stand for the same values, whatever file they came in. Known by two
 * fast hashes: 128 bits tell apart any number of images that nobody made to be confused, and SHA-256 would take as long as decoding does. */
static void know_pixels(anl_scan *scan, uint8_t pixels[ANL_PIXELS_BYTES])
{
    const size_t count = (size_t)anl_scan_count(scan), size = (size_t)anl_voxel_bytes(scan->type);
    char about[192];
    const int length = snprintf(about, sizeof about, "%d %d %d %d %d %s %d %a %a %s", scan->width, scan->height, scan->depth, scan->frames, scan->channels,
                                anl_voxel_name(scan->type), scan->bits, scan->slope, scan->intercept, scan->unit);
    anl_voxels_little(scan->voxels, count, size);
    for (uint64_t half = 0; half < 2; half++) {
        const uint64_t hash = anl_hash(scan->voxels, count * size, anl_hash(about, (size_t)length, half));
        for (int i = 0; i < 8; i++)
            pixels[8 * half + (uint64_t)i] = (uint8_t)(hash >> (8 * i));
    }
    anl_voxels_little(scan->voxels, count, size); /* and back */
}

static anl_status make_samples(const anl_pack_state *p, const anl_pack_entry *e, anl_scan *scan, anl_pack_result *r)
{
    const anl_shard_image *image = &p->schema.image;
    if (scan->segmentation)
        return anl_scan_refuse(r->reason, ANL_ERROR_FORMAT, "it is a segmentation, not an image");
    if (image->volume && scan->depth == 1)
        return anl_scan_refuse(r->reason, ANL_ERROR_FORMAT, "it is a single slice, not a volume");
    if (!image->volume && !p->slices && scan->depth > 1)
        return anl_scan_refuse(r->reason, ANL_ERROR_FORMAT, "the file changes while it is read");
    if (!all_finite(scan))
        return anl_scan_refuse(r->reason, ANL_ERROR_FORMAT, "some of its values are not finite numbers");
    know_pixels(scan, r->pixels);
    const anl_body_margin margin = {p->options->margin, p->options->margin_mm};
    canvas c = {.image = image, .source_channels = scan->channels, .way = {.dims = {scan->width, scan->height, scan->depth}}};
    if (p->options->crop_body) {
        int box[3][2];
        anl_status cropped = anl_body_crop(scan, image->volume, margin, box, r->reason);
        if (cropped != ANL_OK)
            return cropped;
        for (int a = 0; a < 3; a++)
            c.way.cropped[a] = box[a][0];
    }
    memcpy(c.way.kept, (const int[3]){scan->width, scan->height, scan->depth}, sizeof c.way.kept);
    r->frames = p->options->first_frame ? 1 : scan->frames;
    r->depth = scan->depth;
    const int per_frame = image->volume ? 1 : scan->depth;
    const size_t bytes = anl_shard_image_bytes(image);
    r->count = r->frames * per_frame;
    r->stored = calloc((size_t)r->count, bytes);
    r->range = calloc((size_t)r->count, sizeof *r->range);
    if (!r->stored || !r->range)
        return anl_scan_refuse(r->reason, ANL_ERROR_MEMORY, "no memory for its %d samples", r->count);
    values_to_stored(p, scan, &c);
    if (p->options->spacing[0] > 0) {
        anl_status fitted = fit_spacing(&c, scan, p->options->spacing, r->spacing, r->reason);
        if (fitted != ANL_OK)
            return fitted;
    } else
        fit(&c, scan, r->spacing);
    centre(&c);
    anl_scan view = *scan; /* of one slice, where these are samples */
    if (!image->volume)
        view.depth = 1;
    view.frames = r->count;
    anl_status status = ANL_OK;
    for (int k = 0; k < r->count && status == ANL_OK; k++) {
        c.stored = r->stored + bytes * (size_t)k;
        c.least = INFINITY;
        status = anl_scan_resample(&view, k, c.way.shape[0], c.way.shape[1], c.way.shape[2], put_row, &c);
        if (status == ANL_OK)
            put_around(&c);
        if (status == ANL_OK && image->values == ANL_VALUES_RELATIVE)
            status = find_range(&c, r->range[k]);
        else if (status == ANL_OK)
            anl_shard_extent(image, c.stored, r->range[k]);
        if (status == ANL_OK)
            status = count_values(&c, p->axis, image->values == ANL_VALUES_RELATIVE ? r->range[k] : NULL, &r->histogram);
    }
    if (status != ANL_OK)
        return anl_scan_refuse(r->reason, status, "no memory to resample it");
    if (p->boxes.csv.columns > 0 && (status = anl_pack_place_boxes(p, e, scan, &c.way, r)) != ANL_OK)
        return status;
    anl_voxels_little(r->stored, (size_t)r->count * bytes / (size_t)anl_voxel_bytes(image->type), (size_t)anl_voxel_bytes(image->type));
    if (image->deflate == 0 && image->blosc == 0)
        return ANL_OK;
    r->packed = calloc((size_t)r->count, sizeof *r->packed);
    r->lengths = calloc((size_t)r->count, sizeof *r->lengths);
    for (int k = 0; k < r->count; k++)
        if (!r->packed || !r->lengths || !anl_shard_compress(image, r->stored + bytes * (size_t)k, &r->packed[k], &r->lengths[k])) {
            if (r->packed)
                r->packed[k] = NULL;
            return anl_scan_refuse(r->reason, ANL_ERROR_MEMORY, "no memory to compress it");
        }
    free(r->stored); /* as large as all samples together */
    r->stored = NULL;
    return ANL_OK;
}

void anl_pack_forget(anl_pack_result *r)
{
    for (int k = 0; r->packed && k < r->count; k++)
        free(r->packed[k]);
    free(r->packed);
    free(r->lengths);
    free(r->stored);
    free(r->range);
    free(r->boxes);
    free(r->box_ends);
    r->boxes = NULL;
    r->box_ends = NULL;
    r->box_count = 0;
    r->packed = NULL;
    r->lengths = NULL;
    r->stored = NULL;
    r->range = NULL;
    r->count = 0;
}

void anl_pack_decode(const anl_pack_state *p, const anl_pack_entry *e, anl_pack_result *out)
{
    *out = (anl_pack_result){0};
    anl_scan scan;
    out->status = anl_pack_read(e, &scan, out->reason);
    if (out->status == ANL_OK) {
        out->status = make_samples(p, e, &scan, out);
        anl_scan_free(&scan);
    }
    if (out->status != ANL_OK)
        anl_pack_forget(out);
}
