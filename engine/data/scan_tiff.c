/* TIFF through LibTIFF: strips or tiles, contiguous or planar, every compression that the library has, BigTIFF.
 * In: an open file at its beginning. Out: grey, RGB or palette pages as a scan, upright, 0 is black: unsigned of 1 to 16 and 32
 * bits, signed of 8, 16 and 32, floating-point of 32 and 64. Pages of one kind are the slices of a volume; thumbnails and masks
 * among them are left out. What cannot be read exactly (CMYK, complex values, …) is refused with the reason and what to do. */
#include "data/scan.h"

#include <stdlib.h>
#include <string.h>
#include <tiffio.h>
#include <unistd.h>

typedef struct tiff_work {
    char error[ANL_REASON_SIZE]; /* the first one */
    bool damaged;                /* a codec filled in what it could not decode, and only warned */
} tiff_work;

static int on_error(TIFF *tiff, void *user, const char *module, const char *format, va_list args)
{
    (void)tiff;
    tiff_work *work = user;
    if (!work->error[0]) {
        int used = module ? snprintf(work->error, sizeof work->error, "%.60s: ", module) : 0;
        vsnprintf(work->error + used, sizeof work->error - (size_t)used, format, args);
    }
    return 1;
}

static int on_warning(TIFF *tiff, void *user, const char *module, const char *format, va_list args)
{
    tiff_work *work = user;
    /* Most warnings are about unknown tags. These codecs, though, go on with made-up pixels after one. */
    if (module && (strncmp(module, "JPEG", 4) == 0 || strncmp(module, "Fax", 3) == 0)) {
        work->damaged = true;
        return on_error(tiff, user, module, format, args);
    }
    return 1;
}

typedef struct layout {
    uint32_t width, height;
    uint16_t bits, samples, photometric, planar, compression, format, orientation;
    int keep;     /* channels taken from the file (1 or 3) */
    bool palette; /* keep is 1 and becomes 3 */
    anl_voxel type;
} layout;

/* Unsigned sample number i in a row of samples packed from the highest bit on; at most 16 bits each. */
static inline unsigned packed_at(const uint8_t *row, size_t i, int bits)
{
    unsigned value = 0;
    for (size_t bit = i * (size_t)bits, left = (size_t)bits; left > 0;) {
        size_t room = 8 - bit % 8, take = left < room ? left : room;
        value = value << take | (((unsigned)row[bit / 8] >> (room - take)) & ((1u << take) - 1u));
        bit += take;
        left -= take;
    }
    return value;
}

/* Sample number i of a row becomes voxel number at. LibTIFF has brought whole bytes to this machine's order. */
static inline void place_sample(const layout *l, const uint8_t *row, size_t i, void *voxels, size_t at)
{
    const bool turned = l->photometric == PHOTOMETRIC_MINISWHITE;
    switch (l->type) {
    case ANL_VOXEL_U8: {
        /* Depths below 8 bits are spread over 0..255; palette indexes stay as they are. */
        unsigned spread = l->bits < 8 && !l->palette ? 255u / ((1u << l->bits) - 1u) : 1u;
        unsigned v = (l->bits == 8 ? row[i] : packed_at(row, i, l->bits)) * spread;
        ((uint8_t *)voxels)[at] = (uint8_t)(turned ? 255u - v : v);
        return;
    }
    case ANL_VOXEL_U16: {
        uint16_t v;
        if (l->bits == 16)
            memcpy(&v, row + 2 * i, sizeof v);
        else
            v = (uint16_t)packed_at(row, i, l->bits);
        ((uint16_t *)voxels)[at] = (uint16_t)(turned ? ((1u << l->bits) - 1u) - v : v);
        return;
    }
    case ANL_VOXEL_I16: {
        int16_t v;
        if (l->bits == 16)
            memcpy(&v, row + 2 * i, sizeof v);
        else
            v = (int8_t)row[i];
        ((int16_t *)voxels)[at] = v;
        return;
    }
    case ANL_VOXEL_I32:
    case ANL_VOXEL_F32:
        memcpy((uint8_t *)voxels + 4 * at, row + 4 * i, 4);
        return;
    case ANL_VOXEL_F64:
        if (l->format == SAMPLEFORMAT_IEEEFP)
            memcpy((uint8_t *)voxels + 8 * at, row + 8 * i, 8);
        else {
            uint32_t v;
            memcpy(&v, row + 4 * i, sizeof v);
            ((double *)voxels)[at] = v;
        }
        return;
    }
}

/* Copies a block (strip or tile) of decoded bytes into a slice. in_block: samples per pixel there; plane: first channel it fills.
 */
static void place_block(void *slice, const layout *l, const uint8_t *bytes, size_t row_bytes, uint32_t x0, uint32_t y0,
                        uint32_t width, uint32_t height, int in_block, int plane, int channels)
{
    for (uint32_t y = 0; y < height && y0 + y < l->height; y++) {
        const uint8_t *row = bytes + row_bytes * y;
        size_t to = ((size_t)(y0 + y) * l->width + x0) * (size_t)l->keep + (size_t)plane;
        for (uint32_t x = 0; x < width && x0 + x < l->width; x++)
            for (int c = 0; c < channels; c++)
                place_sample(l, row, (size_t)x * (size_t)in_block + (size_t)c, slice,
                             to + (size_t)x * (size_t)l->keep + (size_t)c);
    }
}

static anl_status read_blocks(TIFF *tiff, const layout *l, void *slice, tiff_work *work, char *reason)
{
    bool tiled = TIFFIsTiled(tiff);
    bool planar = l->planar == PLANARCONFIG_SEPARATE && l->samples > 1;
    uint32_t block_width = l->width, block_height = 0;
    if (tiled) {
        if (!TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &block_width) || !TIFFGetField(tiff, TIFFTAG_TILELENGTH, &block_height) ||
            block_width == 0 || block_height == 0)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "TIFF with tiles of no size");
    } else {
        if (!TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &block_height) || block_height == 0)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "TIFF without rows in its strips");
        if (block_height > l->height)
            block_height = l->height;
    }
    tmsize_t block_bytes = tiled ? TIFFTileSize(tiff) : TIFFStripSize(tiff);
    tmsize_t row_bytes = tiled ? TIFFTileRowSize(tiff) : TIFFScanlineSize(tiff);
    int in_block = planar ? 1 : l->samples;
    if (block_bytes <= 0 || row_bytes <= 0 || (size_t)block_bytes > ANL_SCAN_MAX_BYTES)
        return anl_scan_refuse(reason, ANL_ERROR_LIMIT, "TIFF with a strip or tile of no size or above 1 GiB");
    /* What place_block will read of a row, against what the library says a row has. */
    uint64_t row_bits = (uint64_t)block_width * (uint64_t)in_block * l->bits;
    if ((uint64_t)row_bytes < (row_bits + 7) / 8 || (uint64_t)block_bytes < (uint64_t)row_bytes * block_height)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "TIFF with inconsistent strip or tile sizes");
    uint8_t *bytes = malloc((size_t)block_bytes);
    if (!bytes)
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for a strip or tile of %lld bytes", (long long)block_bytes);

    anl_status status = ANL_OK;
    int planes = planar ? l->keep : 1;
    for (int plane = 0; plane < planes && status == ANL_OK; plane++)
        for (uint32_t y = 0; y < l->height && status == ANL_OK; y += block_height)
            for (uint32_t x = 0; x < l->width && status == ANL_OK; x += block_width) {
                tmsize_t got, wanted;
                uint32_t rows = block_height;
                if (tiled) {
                    wanted = block_bytes;
                    got = TIFFReadEncodedTile(tiff, TIFFComputeTile(tiff, x, y, 0, (uint16_t)plane), bytes, block_bytes);
                } else {
                    if (rows > l->height - y)
                        rows = l->height - y;
                    wanted = row_bytes * (tmsize_t)rows;
                    got = TIFFReadEncodedStrip(tiff, TIFFComputeStrip(tiff, y, (uint16_t)plane), bytes, wanted);
                }
                if (got < wanted || work->damaged)
                    status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged TIFF at row %u: %s", (unsigned)y,
                                             work->error[0] ? work->error : "data ends early");
                else
                    place_block(slice, l, bytes, (size_t)row_bytes, x, y, block_width, rows, in_block, plane,
                                planar ? 1 : l->keep);
            }
    free(bytes);
    return status;
}

/* The colours of palette indexes, slice by slice: each page has its own map. */
static anl_status apply_palette(TIFF *tiff, const layout *l, const uint8_t *indexes, uint8_t *rgb, char *reason)
{
    uint16_t *map[3];
    if (!TIFFGetField(tiff, TIFFTAG_COLORMAP, &map[0], &map[1], &map[2]))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "palette TIFF without a colour map");
    size_t colours = (size_t)1 << l->bits;
    bool wide = false; /* old writers filled the 16-bit map with 8-bit values */
    for (size_t i = 0; i < colours; i++)
        wide = wide || map[0][i] > 255 || map[1][i] > 255 || map[2][i] > 255;
    for (size_t i = 0, n = (size_t)l->width * l->height; i < n; i++)
        for (int c = 0; c < 3; c++) {
            uint16_t v = map[c][indexes[i] & (colours - 1)];
            rgb[3 * i + (size_t)c] = (uint8_t)(wide ? v >> 8 : v);
        }
    return ANL_OK;
}

/* Brings all slices upright: the eight orientations of the tag are a transposition and flips. */
static anl_status apply_orientation(uint16_t orientation, anl_scan *scan, char *reason)
{
    if (orientation <= ORIENTATION_TOPLEFT || orientation > ORIENTATION_LEFTBOT)
        return ANL_OK;
    bool transpose = orientation >= ORIENTATION_LEFTTOP;
    bool flip_x = orientation == ORIENTATION_TOPRIGHT || orientation == ORIENTATION_BOTRIGHT ||
                  orientation == ORIENTATION_RIGHTTOP || orientation == ORIENTATION_RIGHTBOT;
    bool flip_y = orientation == ORIENTATION_BOTRIGHT || orientation == ORIENTATION_BOTLEFT ||
                  orientation == ORIENTATION_RIGHTBOT || orientation == ORIENTATION_LEFTBOT;
    anl_scan upright = *scan;
    upright.voxels = NULL;
    upright.width = transpose ? scan->height : scan->width;
    upright.height = transpose ? scan->width : scan->height;
    anl_status status = anl_scan_allocate(&upright, scan->voxels != NULL, reason);
    if (status != ANL_OK)
        return status;
    size_t pixel = (size_t)anl_voxel_bytes(scan->type) * (size_t)scan->channels,
           slice = (size_t)scan->width * (size_t)scan->height;
    for (int z = 0; z < scan->depth && scan->voxels; z++)
        for (int y = 0; y < upright.height; y++)
            for (int x = 0; x < upright.width; x++) {
                size_t u = (size_t)(flip_x ? upright.width - 1 - x : x), v = (size_t)(flip_y ? upright.height - 1 - y : y);
                size_t from = transpose ? u * (size_t)scan->width + v : v * (size_t)scan->width + u;
                size_t to = (size_t)y * (size_t)upright.width + (size_t)x;
                memcpy((uint8_t *)upright.voxels + pixel * (slice * (size_t)z + to),
                       (const uint8_t *)scan->voxels + pixel * (slice * (size_t)z + from), pixel);
            }
    free(scan->voxels);
    *scan = upright;
    return ANL_OK;
}

static anl_status sample_type(layout *l, char *reason)
{
    const int bits = l->bits;
    switch (l->format) {
    case SAMPLEFORMAT_UINT:
    case SAMPLEFORMAT_VOID:
        if (bits == 1 || bits == 2 || bits == 4 || bits == 8)
            l->type = ANL_VOXEL_U8;
        else if (bits > 8 && bits <= 16)
            l->type = ANL_VOXEL_U16;
        else if (bits == 32)
            l->type = ANL_VOXEL_F64; /* holds them all */
        else
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "TIFF with %d bits per sample; 1, 2, 4, 8 to 16 and 32 are read",
                                   bits);
        return ANL_OK;
    case SAMPLEFORMAT_INT:
        if (bits == 8 || bits == 16)
            l->type = ANL_VOXEL_I16;
        else if (bits == 32)
            l->type = ANL_VOXEL_I32;
        else
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "TIFF with signed samples of %d bits; 8, 16 and 32 are read", bits);
        return ANL_OK;
    case SAMPLEFORMAT_IEEEFP:
        if (bits == 32 || bits == 64)
            l->type = bits == 32 ? ANL_VOXEL_F32 : ANL_VOXEL_F64;
        else
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "TIFF with floating-point samples of %d bits; 32 and 64 are read",
                                   bits);
        return ANL_OK;
    default:
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "TIFF with complex samples; take their magnitude first");
    }
}

static anl_status examine(TIFF *tiff, layout *l, char *reason)
{
    l->format = SAMPLEFORMAT_UINT;
    l->orientation = ORIENTATION_TOPLEFT;
    if (!TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &l->width) || !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &l->height))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "TIFF without a width or height");
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &l->bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &l->samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &l->planar);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &l->compression);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &l->format);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &l->orientation);
    if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &l->photometric))
        l->photometric = l->samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
    if (l->width == 0 || l->height == 0)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it has no pixels (%u x %u)", (unsigned)l->width, (unsigned)l->height);
    if (l->width > ANL_SCAN_MAX_SIDE || l->height > ANL_SCAN_MAX_SIDE)
        return anl_scan_refuse(reason, ANL_ERROR_LIMIT, "it is %u x %u pixels; at most %d a side are read", (unsigned)l->width,
                               (unsigned)l->height, ANL_SCAN_MAX_SIDE);
    anl_status status = sample_type(l, reason);
    if (status != ANL_OK)
        return status;
    if (l->photometric == PHOTOMETRIC_MINISWHITE && l->type != ANL_VOXEL_U8 && l->type != ANL_VOXEL_U16)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT,
                               "TIFF whose white is its least value, with samples that have no greatest one");
    switch (l->photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
        l->keep = 1;
        break;
    case PHOTOMETRIC_PALETTE:
        if (l->samples != 1 || l->bits > 8 || l->type != ANL_VOXEL_U8)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "palette TIFF with %d samples of %d bits", l->samples, l->bits);
        l->keep = 1;
        l->palette = true;
        break;
    case PHOTOMETRIC_YCBCR:
        if (l->compression != COMPRESSION_JPEG || l->planar != PLANARCONFIG_CONTIG)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "TIFF in YCbCr that is not JPEG-compressed; convert it to RGB");
        TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        l->keep = 3;
        break;
    case PHOTOMETRIC_RGB:
        l->keep = 3;
        break;
    default:
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT,
                               "TIFF with photometric interpretation %d (only grey, RGB and palette are read)", l->photometric);
    }
    if (l->samples < l->keep || l->samples > 64)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "TIFF with %d samples per pixel where %d are needed", l->samples,
                               l->keep);
    return ANL_OK;
}

/* Thumbnails (reduced resolution) and transparency masks are no slices. */
static bool is_slice(TIFF *tiff)
{
    uint32_t kind = 0;
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SUBFILETYPE, &kind);
    return !(kind & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK));
}

static bool same_layout(const layout *a, const layout *b)
{
    return a->width == b->width && a->height == b->height && a->bits == b->bits && a->type == b->type && a->keep == b->keep &&
           a->palette == b->palette && a->photometric == b->photometric && a->orientation == b->orientation;
}

/* Number of slices, and the layout that they share. LibTIFF stops at loops of directories. */
static anl_status survey(TIFF *tiff, layout *first, int *slices, tiff_work *work, char *reason)
{
    *slices = 0;
    int page = 0;
    do {
        page++;
        if (page > 1 && !is_slice(tiff))
            continue;
        layout l = {0};
        anl_status status = examine(tiff, &l, reason);
        if (status != ANL_OK)
            return status;
        if (*slices == 0)
            *first = l;
        else if (!same_layout(first, &l))
            return anl_scan_refuse(
                reason, ANL_ERROR_FORMAT,
                "TIFF whose page %d (%u x %u, %d bits) is another kind of image than its first (%u x %u, %d bits); "
                "split it into files (tiffsplit)",
                page, (unsigned)l.width, (unsigned)l.height, l.bits, (unsigned)first->width, (unsigned)first->height,
                first->bits);
        ++*slices;
        if (page >= ANL_SCAN_MAX_SIDE)
            return anl_scan_refuse(reason, ANL_ERROR_LIMIT, "TIFF with more than %d pages", ANL_SCAN_MAX_SIDE);
        work->error[0] = 0;
    } while (!TIFFLastDirectory(tiff) && TIFFReadDirectory(tiff));
    if (!TIFFLastDirectory(tiff))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged TIFF after page %d: %s", page,
                               work->error[0] ? work->error : "its next page cannot be read");
    return ANL_OK;
}

static anl_status read_pages(TIFF *tiff, const layout *l, tiff_work *work, anl_scan *out, char *reason)
{
    if (!TIFFSetDirectory(tiff, 0))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged TIFF: its first page cannot be read again");
    size_t slice = (size_t)l->width * l->height, bytes = slice * (size_t)out->channels * (size_t)anl_voxel_bytes(out->type);
    uint8_t *indexes = l->palette ? malloc(slice) : NULL;
    if (l->palette && !indexes)
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for the indexes of a page");
    anl_status status = ANL_OK;
    int page = 0;
    for (int z = 0; z < out->depth && status == ANL_OK; page++) {
        if (page > 0 && !TIFFReadDirectory(tiff)) {
            status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged TIFF: page %d cannot be read again", page + 1);
            break;
        }
        if (page > 0 && !is_slice(tiff))
            continue;
        layout here = {0};
        status = examine(tiff, &here, reason); /* also sets what the codec is to do for this page */
        if (status == ANL_OK && !same_layout(l, &here))
            status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "the file changes while it is read");
        uint8_t *to = (uint8_t *)out->voxels + bytes * (size_t)z;
        if (status == ANL_OK)
            status = read_blocks(tiff, &here, l->palette ? indexes : to, work, reason);
        if (status == ANL_OK && l->palette)
            status = apply_palette(tiff, &here, indexes, to, reason);
        z++;
    }
    free(indexes);
    return status;
}

static bool sniff(const unsigned char *b, size_t length)
{
    /* 42 is TIFF, 43 is BigTIFF; both in either byte order. */
    return length >= 4 && ((b[0] == 'I' && b[1] == 'I' && (b[2] == 42 || b[2] == 43) && b[3] == 0) ||
                           (b[0] == 'M' && b[1] == 'M' && b[2] == 0 && (b[3] == 42 || b[3] == 43)));
}

static anl_status read_open(TIFF *tiff, bool voxels, tiff_work *work, anl_scan *out, char *reason)
{
    layout l = {0};
    int slices;
    anl_status status = survey(tiff, &l, &slices, work, reason);
    if (status != ANL_OK)
        return status;
    out->width = (int)l.width;
    out->height = (int)l.height;
    out->depth = slices;
    out->channels = l.palette ? 3 : l.keep;
    out->type = l.type;
    out->bits = l.bits < 8 ? 8 : l.bits;
    out->inverted = l.photometric == PHOTOMETRIC_MINISWHITE;
    status = anl_scan_allocate(out, voxels, reason);
    if (status == ANL_OK && voxels)
        status = read_pages(tiff, &l, work, out, reason);
    return status == ANL_OK ? apply_orientation(l.orientation, out, reason) : status;
}

static anl_status read_tiff(const char *path, FILE *file, bool voxels, anl_scan *out, char reason[ANL_REASON_SIZE])
{
    (void)path;
    tiff_work work = {.damaged = false};
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    int descriptor = dup(fileno(file));
    if (!options || descriptor < 0) {
        if (options)
            TIFFOpenOptionsFree(options);
        if (descriptor >= 0)
            close(descriptor);
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "LibTIFF cannot be started");
    }
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)ANL_SCAN_MAX_BYTES + 65536);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, &work);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, &work);
    lseek(descriptor, 0, SEEK_SET);
    /* "m": no memory map, so that a file that shrinks while it is read is an error and not a signal. */
    TIFF *tiff = TIFFFdOpenExt(descriptor, "image", "rm", options);
    TIFFOpenOptionsFree(options);
    if (!tiff) {
        close(descriptor);
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged TIFF: %s", work.error[0] ? work.error : "no directory");
    }
    anl_status status = read_open(tiff, voxels, &work, out, reason);
    TIFFClose(tiff); /* closes the descriptor, too */
    return status;
}

static const char *const endings[] = {".tif", ".tiff", ".btf", ".tf8", NULL};
const anl_scan_reader anl_reader_tiff = {"TIFF", endings, sniff, read_tiff};
