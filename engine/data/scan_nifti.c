/* NIfTI-1 and NIfTI-2 (nifti.nimh.nih.gov) through libnifti2: .nii, .nii.gz, pairs of .hdr and .img.
 * In: an open file at its beginning. Out: a volume, or several (time) as frames, as stored, with slope, intercept, spacing in mm and
 * place in the patient; brought into one orientation. The library reads the header; voxels are read here, with bounds: it would
 * allocate whatever the header says. NIfTI's axes run to the right, the front and the head; ours to the left, the back and the head. */
#include "data/scan.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <nifti2_io.h>

#include "base/base.h"
#include "data/orient.h"

#define MOST_STEP 1e6     /* of an axis, from voxel to voxel: more is no spacing, in any unit */
#define MOST_DISTANCE 1e9 /* of the first voxel */
#define MOST_OFFSET ((int64_t)256 << 20) /* of the voxels: extensions lie before them */

/* A file that may be compressed. */
typedef struct bytes {
    FILE *plain; /* or */
    gzFile packed;
} bytes;

static bool open_bytes(int descriptor, bool packed, bytes *out)
{
    *out = (bytes){0};
    if (descriptor < 0)
        return false;
    lseek(descriptor, 0, SEEK_SET);
    if (packed) {
        out->packed = gzdopen(descriptor, "rb");
        if (out->packed)
            gzbuffer(out->packed, 1 << 17);
    } else
        out->plain = fdopen(descriptor, "rb");
    if (!out->plain && !out->packed)
        close(descriptor);
    return out->plain || out->packed;
}

static void close_bytes(bytes *b)
{
    if (b->plain)
        fclose(b->plain);
    if (b->packed)
        gzclose(b->packed);
}

/* Whether all `length` bytes came. */
static bool take(bytes *b, void *to, size_t length)
{
    if (b->plain)
        return fread(to, 1, length, b->plain) == length;
    for (size_t done = 0; done < length;) {
        const unsigned part = length - done < (1u << 30) ? (unsigned)(length - done) : 1u << 30;
        const int n = gzread(b->packed, (uint8_t *)to + done, part);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool skip(bytes *b, int64_t count)
{
    char some[4096];
    for (int64_t done = 0; done < count; done += (int64_t)sizeof some)
        if (!take(b, some, count - done < (int64_t)sizeof some ? (size_t)(count - done) : sizeof some))
            return false;
    return true;
}

/* Reads on to the end of a compressed file, where its checksum is: unless much more follows than belongs to it. */
static bool sound(bytes *b)
{
    char some[4096];
    int n = 1, code = Z_OK;
    for (int i = 0; i < 256 && b->packed && n > 0; i++)
        n = gzread(b->packed, some, sizeof some);
    if (b->packed)
        gzerror(b->packed, &code); /* Z_BUF_ERROR: it stops within a stream */
    return n >= 0 && code == Z_OK;
}

static anl_status ends_early(bytes *b, const char *what, char *reason)
{
    int code = Z_OK;
    if (b->packed)
        gzerror(b->packed, &code);
    return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged NIfTI: %s %s", what,
                           code == Z_DATA_ERROR ? "cannot be decompressed" : "ends early");
}

typedef struct header {
    nifti_image *image; /* owned */
    bool swapped;       /* the file has the other order of bytes */
    bool single;        /* the voxels follow in the same file */
    int64_t length;     /* of the header */
    int64_t offset;     /* of the voxels */
    double step[3];     /* spacing as the file has it; 0: none */
} header;

/* What the library takes for granted: sizes that can be multiplied, an offset that is a number. */
static anl_status check_sizes(const int64_t dims[8], double offset, int datatype, char *reason)
{
    if (dims[0] < 1 || dims[0] > 7)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged NIfTI: it has %lld dimensions", (long long)dims[0]);
    for (int i = 1; i <= dims[0]; i++)
        if (dims[i] < 1 || dims[i] > (i <= 3 ? ANL_SCAN_MAX_SIDE : INT32_MAX))
            return anl_scan_refuse(reason, dims[i] < 1 ? ANL_ERROR_FORMAT : ANL_ERROR_LIMIT,
                                   "%sNIfTI with a dimension of %lld (number %d)", dims[i] < 1 ? "damaged " : "", (long long)dims[i], i);
    for (int i = 5; i <= dims[0]; i++)
        if (dims[i] > 1)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT,
                                   "NIfTI with %lld values per voxel along dimension %d (vectors, fits or the like); split it into files",
                                   (long long)dims[i], i);
    if (!(offset >= 0) || offset > (double)MOST_OFFSET)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged NIfTI: its voxels begin at byte %g", offset);
    int size, swap;
    nifti_datatype_sizes(datatype, &size, &swap);
    if (size == 0)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "NIfTI with values of type %d, which is unknown", datatype);
    return ANL_OK;
}

static anl_status read_first(bytes *b, header *h, nifti_1_header *n, char *reason)
{
    if (!take(b, (uint8_t *)n + 4, sizeof *n - 4))
        return ends_early(b, "its header", reason);
    if (strcmp(n->magic, "n+1") && strcmp(n->magic, "ni1"))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "ANALYZE 7.5, in which left and right are not told apart; convert it to NIfTI");
    if (h->swapped)
        nifti_swap_as_nifti1(n);
    int64_t dims[8];
    for (int i = 0; i < 8; i++)
        dims[i] = n->dim[i];
    anl_status status = check_sizes(dims, n->vox_offset, n->datatype, reason);
    if (status != ANL_OK)
        return status;
    for (int i = 0; i < 3; i++)
        h->step[i] = fabs((double)n->pixdim[1 + i]);
    h->single = n->magic[1] == '+';
    h->image = nifti_convert_n1hdr2nim(*n, NULL);
    return ANL_OK;
}

static anl_status read_second(bytes *b, header *h, nifti_2_header *n, char *reason)
{
    if (!take(b, (uint8_t *)n + 4, sizeof *n - 4))
        return ends_early(b, "its header", reason);
    if (h->swapped)
        nifti_swap_as_nifti2(n);
    anl_status status = check_sizes(n->dim, (double)n->vox_offset, n->datatype, reason);
    if (status != ANL_OK)
        return status;
    for (int i = 0; i < 3; i++)
        h->step[i] = fabs(n->pixdim[1 + i]);
    h->single = n->magic[1] == '+';
    h->image = nifti_convert_n2hdr2nim(*n, NULL);
    return ANL_OK;
}

static anl_status read_header(bytes *b, header *h, char *reason)
{
    union {
        int32_t size;
        nifti_1_header first;
        nifti_2_header second;
    } n;
    if (!take(b, &n.size, 4))
        return ends_early(b, "its header", reason);
    h->swapped = n.size != 348 && n.size != 540;
    h->length = h->swapped ? (int32_t)__builtin_bswap32((uint32_t)n.size) : n.size;
    anl_status status;
    if (h->length == 348)
        status = read_first(b, h, &n.first, reason);
    else if (h->length == 540)
        status = read_second(b, h, &n.second, reason);
    else
        status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged NIfTI: its header has a size of %d bytes", (int)h->length);
    if (status == ANL_OK && !h->image)
        status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged NIfTI: its header contradicts itself");
    if (status == ANL_OK)
        h->offset = h->image->iname_offset; /* behind the header, at least */
    return status;
}

/* ---- values ---- */

/* How a type of the file becomes one of ours. */
typedef enum way { AS_IT_IS, WIDER, COLOUR } way;

static anl_status choose_type(int datatype, anl_scan *out, way *how, char *reason)
{
    *how = AS_IT_IS;
    switch (datatype) {
    case NIFTI_TYPE_UINT8:
        out->type = ANL_VOXEL_U8;
        break;
    case NIFTI_TYPE_INT8:
        out->type = ANL_VOXEL_I16;
        *how = WIDER;
        break;
    case NIFTI_TYPE_INT16:
        out->type = ANL_VOXEL_I16;
        break;
    case NIFTI_TYPE_UINT16:
        out->type = ANL_VOXEL_U16;
        break;
    case NIFTI_TYPE_INT32:
        out->type = ANL_VOXEL_I32;
        break;
    case NIFTI_TYPE_UINT32:
    case NIFTI_TYPE_INT64:
    case NIFTI_TYPE_UINT64:
        out->type = ANL_VOXEL_F64;
        *how = WIDER;
        break;
    case NIFTI_TYPE_FLOAT32:
        out->type = ANL_VOXEL_F32;
        break;
    case NIFTI_TYPE_FLOAT64:
        out->type = ANL_VOXEL_F64;
        break;
    case NIFTI_TYPE_RGB24:
    case NIFTI_TYPE_RGBA32:
        out->type = ANL_VOXEL_U8;
        out->channels = 3;
        *how = COLOUR;
        break;
    default:
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "NIfTI with values of type %s; integers, float32, float64 and RGB are read",
                               nifti_datatype_string(datatype));
    }
    int size, swap;
    nifti_datatype_sizes(datatype, &size, &swap);
    out->bits = *how == COLOUR ? 8 : 8 * size;
    return ANL_OK;
}

/* Values of the file, in this machine's order, as ours, exactly. False: one of them cannot be held. */
static bool widen(int datatype, const void *from, size_t count, anl_scan *out, size_t first)
{
    for (size_t i = 0; i < count; i++)
        switch (datatype) {
        case NIFTI_TYPE_INT8:
            ((int16_t *)out->voxels)[first + i] = ((const int8_t *)from)[i];
            break;
        case NIFTI_TYPE_UINT32:
            ((double *)out->voxels)[first + i] = ((const uint32_t *)from)[i];
            break;
        case NIFTI_TYPE_INT64: {
            const int64_t v = ((const int64_t *)from)[i];
            if (v > INT64_C(1) << DBL_MANT_DIG || v < -(INT64_C(1) << DBL_MANT_DIG))
                return false;
            ((double *)out->voxels)[first + i] = (double)v;
            break;
        }
        case NIFTI_TYPE_UINT64: {
            const uint64_t v = ((const uint64_t *)from)[i];
            if (v > UINT64_C(1) << DBL_MANT_DIG)
                return false;
            ((double *)out->voxels)[first + i] = (double)v;
            break;
        }
        case NIFTI_TYPE_RGB24:
            memcpy((uint8_t *)out->voxels + 3 * (first + i), (const uint8_t *)from + 3 * i, 3);
            break;
        default: /* RGBA32 */
            memcpy((uint8_t *)out->voxels + 3 * (first + i), (const uint8_t *)from + 4 * i, 3);
        }
    return true;
}

static anl_status read_voxels(bytes *b, const header *h, way how, anl_scan *out, char *reason)
{
    enum { AT_ONCE = 1 << 16 };
    int size, swap;
    nifti_datatype_sizes(h->image->datatype, &size, &swap);
    const size_t count = (size_t)anl_scan_count(out) / (size_t)out->channels;
    uint64_t *some = how == AS_IT_IS ? NULL : malloc(sizeof *some * AT_ONCE);
    if (how != AS_IT_IS && !some)
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for some of its values");
    anl_status status = ANL_OK;
    for (size_t first = 0; first < count && status == ANL_OK; first += AT_ONCE) {
        const size_t n = count - first < AT_ONCE ? count - first : AT_ONCE;
        void *to = how == AS_IT_IS ? (void *)((uint8_t *)out->voxels + first * (size_t)size) : (void *)some;
        if (!take(b, to, n * (size_t)size))
            status = ends_early(b, "its data", reason);
        else {
            if (h->swapped && swap > 1)
                nifti_swap_Nbytes((int64_t)n, swap, to);
            if (how != AS_IT_IS && !widen(h->image->datatype, some, n, out, first))
                status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "NIfTI with integers beyond 2^53, which are not read exactly");
        }
    }
    free(some);
    if (status == ANL_OK && !sound(b))
        status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged NIfTI: its compressed data is cut off or fails its checksum");
    return status;
}

/* ---- meaning ---- */

/* Axes that span space, and sizes that a body may have. */
static bool usable(nifti_dmat44 m)
{
    double d = 0;
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 4; j++)
            if (!(fabs(m.m[i][j]) < (j < 3 ? MOST_STEP : MOST_DISTANCE)))
                return false;
        const int a = (i + 1) % 3, b = (i + 2) % 3;
        d += m.m[0][i] * (m.m[1][a] * m.m[2][b] - m.m[1][b] * m.m[2][a]);
    }
    return fabs(d) > 1e-12;
}

static void read_place(const header *h, anl_scan *out)
{
    const nifti_image *n = h->image;
    /* Without a unit, mm is what nearly all programs mean. */
    const double unit = n->xyz_units == NIFTI_UNITS_METER ? 1000 : n->xyz_units == NIFTI_UNITS_MICRON ? 1e-3 : 1;
    for (int a = 0; a < 3; a++)
        out->spacing[a] = h->step[a] < MOST_STEP ? h->step[a] * unit : 0;
    const bool by_s = n->sform_code > 0 && usable(n->sto_xyz);
    if (!by_s && (n->qform_code <= 0 || !usable(n->qto_xyz)))
        return;
    const nifti_dmat44 m = by_s ? n->sto_xyz : n->qto_xyz;
    for (int a = 0; a < 4; a++)
        for (int i = 0; i < 3; i++)
            out->affine[i][a] = (i < 2 ? -m.m[i][a] : m.m[i][a]) * unit + 0.0; /* no -0 */
    for (int a = 0; a < 3; a++) /* what the affine says holds for the spacing, too */
        out->spacing[a] = sqrt(out->affine[0][a] * out->affine[0][a] + out->affine[1][a] * out->affine[1][a] +
                               out->affine[2][a] * out->affine[2][a]);
    out->oriented = true;
}

static anl_status read_meaning(const header *h, anl_scan *out, char *reason)
{
    const nifti_image *n = h->image;
    out->width = (int)n->nx;
    out->height = n->ndim >= 2 ? (int)n->ny : 1;
    out->depth = n->ndim >= 3 ? (int)n->nz : 1;
    out->frames = n->ndim >= 4 ? (int)n->nt : 1;
    if (n->scl_slope != 0 && out->channels == 1) { /* 0: there is no scale; the library makes one of what is no number */
        out->slope = n->scl_slope;
        out->intercept = n->scl_inter;
    }
    if (!isfinite(out->slope) || !isfinite(out->intercept))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged NIfTI: its scale is not finite");
    if (n->cal_max > n->cal_min && isfinite(n->cal_max - n->cal_min)) {
        out->window[0] = n->cal_min + (n->cal_max - n->cal_min) / 2;
        out->window[1] = n->cal_max - n->cal_min;
    }
    out->segmentation = n->intent_code == NIFTI_INTENT_LABEL || n->intent_code == NIFTI_INTENT_NEURONAME;
    read_place(h, out);
    return ANL_OK;
}

/* The file of the voxels of a pair: the header's name with .img for .hdr, either of them compressed or not. */
static anl_status open_image(const char *path, bytes *out, char *reason)
{
    const size_t length = strlen(path);
    const bool packed = length > 3 && !strcmp(path + length - 3, ".gz");
    const size_t stem = length - (packed ? 3 : 0);
    char *name = anl_malloc(length + 8);
    bool good = false;
    if (stem > 4 && !strncasecmp(path + stem - 4, ".hdr", 4)) {
        static const char *const endings[] = {".img", ".img.gz", ".IMG"};
        for (size_t i = 0; i < ANL_COUNT(endings) && !good; i++) {
            sprintf(name, "%.*s%s", (int)(stem - 4), path, endings[i]);
            FILE *file = fopen(name, "rb");
            if (file) {
                good = open_bytes(dup(fileno(file)), i == 1, out);
                fclose(file);
            }
        }
    }
    free(name);
    return good ? ANL_OK : anl_scan_refuse(reason, ANL_ERROR_FILE, "the header of a NIfTI pair, and there is no .img file beside it");
}

/* Before memory is taken: whether an uncompressed file is as long as it must be. */
static anl_status check_length(const bytes *b, int64_t offset, int64_t needed, char *reason)
{
    struct stat about;
    if (!b->plain || fstat(fileno(b->plain), &about) != 0 || about.st_size >= offset + needed)
        return ANL_OK;
    return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "damaged NIfTI: it ends early, with %lld bytes of voxels, where %lld are needed",
                           (long long)(about.st_size > offset ? about.st_size - offset : 0), (long long)needed);
}

static anl_status read_open(const char *path, bytes *b, bool voxels, header *h, anl_scan *out, char *reason)
{
    way how;
    anl_status status = read_header(b, h, reason);
    if (status == ANL_OK)
        status = choose_type(h->image->datatype, out, &how, reason);
    if (status == ANL_OK)
        status = read_meaning(h, out, reason);
    if (status == ANL_OK)
        status = anl_scan_allocate(out, false, reason); /* the bounds */
    bytes other = {0};
    bytes *from = b;
    if (status == ANL_OK && !h->single) {
        status = open_image(path, &other, reason);
        from = &other;
    }
    if (status == ANL_OK)
        status = check_length(from, h->offset, (int64_t)h->image->nbyper * (anl_scan_count(out) / out->channels), reason);
    if (status == ANL_OK && voxels) {
        status = anl_scan_allocate(out, true, reason);
        if (status == ANL_OK && !skip(from, h->offset - (h->single ? h->length : 0)))
            status = ends_early(from, "its data", reason);
        if (status == ANL_OK)
            status = read_voxels(from, h, how, out, reason);
    }
    close_bytes(&other);
    return status == ANL_OK ? anl_scan_orient(out, reason) : status;
}

static anl_status read_nifti(const char *path, FILE *file, bool voxels, anl_scan *out, char reason[ANL_REASON_SIZE])
{
    unsigned char mark[2] = {0};
    const bool packed = fread(mark, 1, 2, file) == 2 && mark[0] == 0x1F && mark[1] == 0x8B;
    bytes b;
    if (!open_bytes(dup(fileno(file)), packed, &b))
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "it cannot be opened a second time: %s", strerror(errno));
    header h = {0};
    anl_status status = read_open(path, &b, voxels, &h, out, reason);
    nifti_image_free(h.image);
    close_bytes(&b);
    return status;
}

static const char *const endings[] = {".nii", ".nii.gz", NULL};
const anl_scan_reader anl_reader_nifti = {"NIfTI", endings, anl_nifti_sniff, read_nifti};
