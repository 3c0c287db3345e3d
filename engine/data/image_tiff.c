/* TIFF through LibTIFF: strips or tiles, contiguous or planar, 1 to 16 bits, grey, RGB and palette.
 * In: an open file at its beginning. Out: the first page as grey or RGB pixels of 8 or 16 bits, upright, 0 is black.
 * What cannot be read exactly (floats, signed values, CMYK, ...) is refused with the reason and what to do. */
#include "data/image.h"

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

static anl_status refuse(char *reason, anl_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static anl_status refuse(char *reason, anl_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reason, ANL_REASON_SIZE, format, args);
    va_end(args);
    return status;
}

typedef struct layout {
    uint32_t width, height;
    uint16_t bits, samples, photometric, planar, compression;
    int keep;     /* channels taken from the file (1 or 3) */
    bool palette; /* keep is 1 and becomes 3 */
} layout;

/* value of sample number i in a row of packed samples */
static inline unsigned sample_at(const uint8_t *row, size_t i, int bits)
{
    if (bits == 8)
        return row[i];
    if (bits == 16) {
        uint16_t v;
        memcpy(&v, row + 2 * i, 2); /* LibTIFF has already brought it to this machine's byte order */
        return v;
    }
    size_t bit = i * (size_t)bits;
    return (unsigned)(row[bit / 8] >> (8 - bits - (int)(bit % 8))) & ((1u << bits) - 1u);
}

/* Copies a block (strip or tile) of decoded bytes into the image. in_block: samples per pixel there; plane: first channel it
 * fills. */
static void place_block(anl_image *image, const layout *l, const uint8_t *bytes, size_t row_bytes, uint32_t x0, uint32_t y0,
                        uint32_t width, uint32_t height, int in_block, int plane, int channels)
{
    /* Depths below 8 bits are spread over 0..255; palette indexes stay as they are. */
    unsigned spread = l->bits < 8 && !l->palette ? 255u / ((1u << l->bits) - 1u) : 1u;
    unsigned most = l->bits == 16 ? 65535u : 255u;
    for (uint32_t y = 0; y < height && y0 + y < l->height; y++) {
        const uint8_t *row = bytes + row_bytes * y;
        uint16_t *to = image->pixels + ((size_t)(y0 + y) * l->width + x0) * (size_t)image->channels;
        for (uint32_t x = 0; x < width && x0 + x < l->width; x++)
            for (int c = 0; c < channels; c++) {
                unsigned v = sample_at(row, (size_t)x * (size_t)in_block + (size_t)c, l->bits) * spread;
                if (l->photometric == PHOTOMETRIC_MINISWHITE)
                    v = most - v;
                to[(size_t)x * (size_t)image->channels + (size_t)(plane + c)] = (uint16_t)v;
            }
    }
}

static anl_status read_blocks(TIFF *tiff, const layout *l, anl_image *image, tiff_work *work, char *reason)
{
    bool tiled = TIFFIsTiled(tiff);
    bool planar = l->planar == PLANARCONFIG_SEPARATE && l->samples > 1;
    uint32_t block_width = l->width, block_height = 0;
    if (tiled) {
        if (!TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &block_width) || !TIFFGetField(tiff, TIFFTAG_TILELENGTH, &block_height) ||
            block_width == 0 || block_height == 0)
            return refuse(reason, ANL_ERROR_FORMAT, "TIFF with tiles of no size");
    } else {
        if (!TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &block_height) || block_height == 0)
            return refuse(reason, ANL_ERROR_FORMAT, "TIFF without rows in its strips");
        if (block_height > l->height)
            block_height = l->height;
    }
    tmsize_t block_bytes = tiled ? TIFFTileSize(tiff) : TIFFStripSize(tiff);
    tmsize_t row_bytes = tiled ? TIFFTileRowSize(tiff) : TIFFScanlineSize(tiff);
    int in_block = planar ? 1 : l->samples;
    if (block_bytes <= 0 || row_bytes <= 0 || (size_t)block_bytes > ANL_IMAGE_MAX_BYTES)
        return refuse(reason, ANL_ERROR_LIMIT, "TIFF with a strip or tile of no size or above 1 GiB");
    /* What place_block will read of a row, against what the library says a row has. */
    uint64_t row_bits = (uint64_t)block_width * (uint64_t)in_block * l->bits;
    if ((uint64_t)row_bytes < (row_bits + 7) / 8 || (uint64_t)block_bytes < (uint64_t)row_bytes * block_height)
        return refuse(reason, ANL_ERROR_FORMAT, "TIFF with inconsistent strip or tile sizes");
    uint8_t *bytes = malloc((size_t)block_bytes);
    if (!bytes)
        return refuse(reason, ANL_ERROR_MEMORY, "no memory for a strip or tile of %lld bytes", (long long)block_bytes);

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
                    status = refuse(reason, ANL_ERROR_FORMAT, "damaged TIFF at row %u: %s", (unsigned)y,
                                    work->error[0] ? work->error : "data ends early");
                else
                    place_block(image, l, bytes, (size_t)row_bytes, x, y, block_width, rows, in_block, plane,
                                planar ? 1 : l->keep);
            }
    free(bytes);
    return status;
}

static anl_status apply_palette(TIFF *tiff, const layout *l, anl_image *image, char *reason)
{
    uint16_t *map[3];
    if (!TIFFGetField(tiff, TIFFTAG_COLORMAP, &map[0], &map[1], &map[2]))
        return refuse(reason, ANL_ERROR_FORMAT, "palette TIFF without a colour map");
    size_t colours = (size_t)1 << l->bits;
    bool wide = false; /* old writers filled the 16-bit map with 8-bit values */
    for (size_t i = 0; i < colours; i++)
        wide = wide || map[0][i] > 255 || map[1][i] > 255 || map[2][i] > 255;
    anl_image coloured = {.width = image->width, .height = image->height, .channels = 3, .bits = 8};
    anl_status status = anl_image_allocate(&coloured, reason);
    if (status != ANL_OK)
        return status;
    for (size_t i = 0, n = (size_t)image->width * (size_t)image->height; i < n; i++)
        for (int c = 0; c < 3; c++) {
            uint16_t v = map[c][image->pixels[i] & (colours - 1)];
            coloured.pixels[3 * i + (size_t)c] = wide ? v >> 8 : v;
        }
    free(image->pixels);
    *image = coloured;
    return ANL_OK;
}

/* Brings the image upright: the eight orientations of the tag are a transposition and flips. */
static anl_status apply_orientation(uint16_t orientation, anl_image *image, char *reason)
{
    if (orientation <= ORIENTATION_TOPLEFT || orientation > ORIENTATION_LEFTBOT)
        return ANL_OK;
    bool transpose = orientation >= ORIENTATION_LEFTTOP;
    bool flip_x = orientation == ORIENTATION_TOPRIGHT || orientation == ORIENTATION_BOTRIGHT ||
                  orientation == ORIENTATION_RIGHTTOP || orientation == ORIENTATION_RIGHTBOT;
    bool flip_y = orientation == ORIENTATION_BOTRIGHT || orientation == ORIENTATION_BOTLEFT ||
                  orientation == ORIENTATION_RIGHTBOT || orientation == ORIENTATION_LEFTBOT;
    anl_image upright = {.width = transpose ? image->height : image->width,
                         .height = transpose ? image->width : image->height,
                         .channels = image->channels,
                         .bits = image->bits};
    anl_status status = anl_image_allocate(&upright, reason);
    if (status != ANL_OK)
        return status;
    for (int y = 0; y < upright.height; y++)
        for (int x = 0; x < upright.width; x++) {
            int u = flip_x ? upright.width - 1 - x : x, v = flip_y ? upright.height - 1 - y : y;
            size_t from = transpose ? (size_t)u * (size_t)image->width + (size_t)v : (size_t)v * (size_t)image->width + (size_t)u;
            size_t to = (size_t)y * (size_t)upright.width + (size_t)x;
            for (int c = 0; c < image->channels; c++)
                upright.pixels[to * (size_t)image->channels + (size_t)c] =
                    image->pixels[from * (size_t)image->channels + (size_t)c];
        }
    free(image->pixels);
    *image = upright;
    return ANL_OK;
}

static anl_status examine(TIFF *tiff, layout *l, char *reason)
{
    uint16_t format = SAMPLEFORMAT_UINT;
    if (!TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &l->width) || !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &l->height))
        return refuse(reason, ANL_ERROR_FORMAT, "TIFF without a width or height");
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &l->bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &l->samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &l->planar);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &l->compression);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &format);
    if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &l->photometric))
        l->photometric = l->samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
    if (l->width == 0 || l->height == 0)
        return refuse(reason, ANL_ERROR_FORMAT, "it has no pixels (%u x %u)", (unsigned)l->width, (unsigned)l->height);
    if (l->width > ANL_IMAGE_MAX_SIDE || l->height > ANL_IMAGE_MAX_SIDE)
        return refuse(reason, ANL_ERROR_LIMIT, "it is %u x %u pixels; at most %d a side are read", (unsigned)l->width,
                      (unsigned)l->height, ANL_IMAGE_MAX_SIDE);
    if (format == SAMPLEFORMAT_IEEEFP)
        return refuse(reason, ANL_ERROR_FORMAT, "TIFF with %d-bit floating-point samples; rescale to unsigned 16-bit first",
                      l->bits);
    if (format != SAMPLEFORMAT_UINT && format != SAMPLEFORMAT_VOID)
        return refuse(reason, ANL_ERROR_FORMAT, "TIFF with signed or complex samples; shift to unsigned 16-bit first");
    if (l->bits != 1 && l->bits != 2 && l->bits != 4 && l->bits != 8 && l->bits != 16)
        return refuse(reason, ANL_ERROR_FORMAT, "TIFF with %d bits per sample; 1, 2, 4, 8 and 16 are read", l->bits);
    switch (l->photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
        l->keep = 1;
        break;
    case PHOTOMETRIC_PALETTE:
        if (l->samples != 1 || l->bits > 8)
            return refuse(reason, ANL_ERROR_FORMAT, "palette TIFF with %d samples of %d bits", l->samples, l->bits);
        l->keep = 1;
        l->palette = true;
        break;
    case PHOTOMETRIC_YCBCR:
        if (l->compression != COMPRESSION_JPEG || l->planar != PLANARCONFIG_CONTIG)
            return refuse(reason, ANL_ERROR_FORMAT, "TIFF in YCbCr that is not JPEG-compressed; convert it to RGB");
        TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        l->keep = 3;
        break;
    case PHOTOMETRIC_RGB:
        l->keep = 3;
        break;
    default:
        return refuse(reason, ANL_ERROR_FORMAT, "TIFF with photometric interpretation %d (only grey, RGB and palette are read)",
                      l->photometric);
    }
    if (l->samples < l->keep || l->samples > 64)
        return refuse(reason, ANL_ERROR_FORMAT, "TIFF with %d samples per pixel where %d are needed", l->samples, l->keep);
    return ANL_OK;
}

static int count_pages(TIFF *tiff)
{
    int pages = 1; /* bounded: a directory chain may be very long, and LibTIFF stops at loops */
    while (pages < 65535 && !TIFFLastDirectory(tiff) && TIFFReadDirectory(tiff))
        pages++;
    return pages;
}

anl_status anl_image_decode_tiff(FILE *file, anl_image *out, anl_image_facts *facts, char reason[ANL_REASON_SIZE])
{
    tiff_work work = {.damaged = false};
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    int descriptor = dup(fileno(file));
    if (!options || descriptor < 0) {
        if (options)
            TIFFOpenOptionsFree(options);
        if (descriptor >= 0)
            close(descriptor);
        return refuse(reason, ANL_ERROR_MEMORY, "LibTIFF cannot be started");
    }
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)ANL_IMAGE_MAX_BYTES + 65536);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, &work);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, &work);
    lseek(descriptor, 0, SEEK_SET);
    /* "m": no memory map, so that a file that shrinks while it is read is an error and not a signal. */
    TIFF *tiff = TIFFFdOpenExt(descriptor, "image", "rm", options);
    TIFFOpenOptionsFree(options);
    if (!tiff) {
        close(descriptor);
        return refuse(reason, ANL_ERROR_FORMAT, "damaged TIFF: %s", work.error[0] ? work.error : "no directory");
    }
    layout l = {0};
    uint16_t orientation = ORIENTATION_TOPLEFT;
    anl_status status = examine(tiff, &l, reason);
    facts->bits = l.bits == 16 ? 16 : 8;
    if (status == ANL_OK && out) {
        out->width = (int)l.width;
        out->height = (int)l.height;
        out->channels = l.keep;
        out->bits = facts->bits;
        TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &orientation);
        status = anl_image_allocate(out, reason);
        if (status == ANL_OK)
            status = read_blocks(tiff, &l, out, &work, reason);
        if (status == ANL_OK && l.palette)
            status = apply_palette(tiff, &l, out, reason);
        if (status == ANL_OK)
            status = apply_orientation(orientation, out, reason);
        if (status == ANL_OK)
            facts->pages = count_pages(tiff);
    }
    TIFFClose(tiff); /* closes the descriptor, too */
    return status;
}
