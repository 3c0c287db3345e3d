/* An array of an HDF5 file as scans, one for each place along its first axis.
 * In: FILE.h5:/path and the names of its axes. Out: scans, read one by one; or why not.
 * Never more than a scan and a chunk of the file are in memory. */
#include "data/array.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <anlage/modality.h>

#include "base/base.h"
#include "data/blosc_filter.h"

#define MOST_CACHED ((size_t)512 << 20) /* chunks as large as this are kept in pairs */

static const char space_axes[] = "zyxc";
enum { Z, Y, X, C };

bool anl_array_named(const char *name, size_t *colon)
{
    struct stat about;
    if (stat(name, &about) == 0)
        return false;
    for (const char *at = strstr(name, ":/"); at; at = strstr(at + 1, ":/")) {
        char *file = strndup(name, (size_t)(at - name));
        const bool there = file && stat(file, &about) == 0 && S_ISREG(about.st_mode);
        free(file);
        *colon = (size_t)(at - name);
        if (there)
            return true;
    }
    return false;
}

bool anl_array_container(const char *file)
{
    anl_hdf5_lock();
    const bool is = H5Fis_hdf5(file) > 0;
    anl_hdf5_unlock();
    return is;
}

/* ---- what it is ---- */

static anl_status fail(char *reason, anl_status status, const char *what)
{
    char why[200];
    anl_hdf5_reason(why, sizeof why);
    return anl_scan_refuse(reason, status, "%s%s%s", what, why[0] ? ": " : "", why);
}

static bool name_axes(anl_array *a, const char *axes, char *reason)
{
    const char *const usual[] = {NULL, NULL, "yx", "nyx", a->dims[3] == 1 || a->dims[3] == 3 ? "nyxc" : "nzyx", "nzyxc"};
    if (!axes && a->rank < 2) {
        anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it has %d ax%s; images have two at least", a->rank, a->rank == 1 ? "is" : "es");
        return false;
    }
    if (!axes && a->rank == 4 && (a->dims[3] == 2 || a->dims[3] == 4)) {
        anl_scan_refuse(reason, ANL_ERROR_FORMAT, "its last axis is of size %d: say with --axes whether it is x (nzyx) or channels, of which 1 or 3 are read", (int)a->dims[3]);
        return false;
    }
    int count = 0, seen[5] = {0};
    a->n = -1;
    for (const char *at = axes ? axes : usual[a->rank]; *at; at++) {
        const char *known = strchr("zyxcn", *at);
        if (*at == ',')
            continue;
        if (!known || seen[known - "zyxcn"]++ || count == a->rank) {
            anl_scan_refuse(reason, ANL_ERROR_ARGUMENT, "its %d axes cannot be `%.40s`: each of n, z, y, x and c is there once at most", a->rank, axes);
            return false;
        }
        a->axes[count] = *at == 'n' ? -1 : (int)(known - "zyxcn");
        if (*at == 'n')
            a->n = count;
        count++;
    }
    if (count == a->rank && seen[Y] && seen[X])
        return true;
    anl_scan_refuse(reason, ANL_ERROR_ARGUMENT, "it has %d axes, which cannot be `%.40s`: each has a letter, and y and x are among them", a->rank, axes);
    return false;
}

static bool choose_type(hid_t type, anl_scan *about, hid_t *memory)
{
    const size_t size = H5Tget_size(type);
    const H5T_class_t class = H5Tget_class(type);
    const bool is_signed = class == H5T_INTEGER && H5Tget_sign(type) != H5T_SGN_NONE;
    if (class == H5T_FLOAT)
        about->type = size <= 4 ? ANL_VOXEL_F32 : ANL_VOXEL_F64;
    else if (class != H5T_INTEGER)
        return false;
    else if (size <= 2)
        about->type = is_signed ? ANL_VOXEL_I16 : size == 1 ? ANL_VOXEL_U8 : ANL_VOXEL_U16;
    else
        about->type = is_signed && size == 4 ? ANL_VOXEL_I32 : ANL_VOXEL_F64; /* which holds unsigned ones of 32 bits exactly */
    about->bits = 8 * anl_voxel_bytes(about->type);
    if (about->type == ANL_VOXEL_U8 || about->type == ANL_VOXEL_U16)
        about->bits = (int)H5Tget_precision(type);
    const hid_t types[] = {H5T_NATIVE_UINT8, H5T_NATIVE_UINT16, H5T_NATIVE_INT16, H5T_NATIVE_INT32, H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE};
    *memory = types[about->type];
    return true;
}

/* How many numbers an attribute has, `most` at most; 0: it is none of numbers. */
static int read_numbers(hid_t object, const char *name, double *out, int most)
{
    if (H5Aexists(object, name) <= 0)
        return 0;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0)
        return 0;
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    const H5T_class_t class = H5Tget_class(type);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    if ((class != H5T_FLOAT && class != H5T_INTEGER) || count < 1 || count > most || H5Aread(attribute, H5T_NATIVE_DOUBLE, out) < 0)
        count = 0;
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    return (int)count;
}

/* Attributes that say what cannot be are refused: without them the values would mean something else. */
static anl_status read_attributes(anl_array *a, char *reason)
{
    anl_scan *about = &a->about;
    double spacing[3], scale = 1, offset = 0;
    char *text;
    if (H5Aexists(a->data, "spacing") > 0) {
        const int count = read_numbers(a->data, "spacing", spacing, 3);
        for (int i = 0; i < count; i++) {
            if (!(spacing[i] >= 0 && spacing[i] < 1e6))
                return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "its attribute `spacing` is no number of mm");
            about->spacing[count - 1 - i] = spacing[i];
        }
        if (count < 2)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "its attribute `spacing` is not two or three numbers: mm along z, y, x, or y, x");
    }
    if (anl_hdf5_read_text(a->data, "unit", &text)) {
        const bool fits = strlen(text) < sizeof about->unit;
        if (fits)
            strcpy(about->unit, text);
        free(text);
        if (!fits)
            return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "its attribute `unit` is longer than %zu bytes", sizeof about->unit - 1);
    }
    if (anl_hdf5_read_text(a->data, "modality", &text) || anl_hdf5_read_text(a->opened, "modality", &text)) {
        const anl_modality *modality = anl_modality_meant(text);
        free(text);
        if (modality)
            snprintf(about->modality, sizeof about->modality, "%s", modality->name);
    }
    bool full = false;
    if (anl_hdf5_read_text(a->data, "values", &text)) {
        full = !strcmp(text, "full");
        free(text);
    }
    if (full)
        return ANL_OK;
    if ((H5Aexists(a->data, "scale") > 0 && read_numbers(a->data, "scale", &scale, 1) != 1) ||
        (H5Aexists(a->data, "offset") > 0 && read_numbers(a->data, "offset", &offset, 1) != 1) || !isfinite(scale) || scale == 0 || !isfinite(offset))
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "its attributes `scale` and `offset` make no sense");
    about->slope = scale;
    about->intercept = offset;
    return ANL_OK;
}

/* Every filter must be there; a chunk that is used for several scans is kept. */
static anl_status prepare_chunks(anl_array *a, char *reason)
{
    hid_t options = H5Dget_create_plist(a->data), type = H5Dget_type(a->data);
    hsize_t chunk[5] = {0};
    const bool chunked = H5Pget_layout(options) == H5D_CHUNKED && H5Pget_chunk(options, 5, chunk) == a->rank;
    size_t bytes = chunked ? H5Tget_size(type) : 0;
    for (int i = 0; i < a->rank && bytes > 0; i++)
        bytes = bytes <= ANL_SCAN_MAX_BYTES / chunk[i] ? bytes * chunk[i] : 0;
    anl_status status = ANL_OK;
    for (int i = 0; chunked && i < H5Pget_nfilters(options) && status == ANL_OK; i++) {
        unsigned flags, config;
        size_t none = 0;
        char name[64] = "";
        const H5Z_filter_t filter = H5Pget_filter2(options, (unsigned)i, &flags, &none, NULL, sizeof name, name, &config);
        if (H5Zfilter_avail(filter) <= 0)
            status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it is compressed by the HDF5 filter %d (%s), which is not installed here", (int)filter,
                                     name[0] ? name : "without a name");
    }
    if (status == ANL_OK && chunked && bytes == 0)
        status = anl_scan_refuse(reason, ANL_ERROR_LIMIT, "its chunks are larger than 1 GiB");
    H5Pclose(options);
    H5Tclose(type);
    if (status != ANL_OK || !chunked || bytes <= 1 << 20)
        return status;
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(access, 521, bytes <= MOST_CACHED ? 2 * bytes : bytes, 1);
    H5Dclose(a->data);
    a->data = H5Dopen2(a->opened, a->path, access);
    H5Pclose(access);
    return a->data < 0 ? fail(reason, ANL_ERROR_FORMAT, "it cannot be opened") : ANL_OK;
}

static hid_t open_data(hid_t file, const char *path, char *reason)
{
    hid_t data = H5Oopen(file, path, H5P_DEFAULT);
    if (data >= 0 && H5Iget_type(data) == H5I_DATASET)
        return data;
    if (data < 0)
        fail(reason, ANL_ERROR_FORMAT, "there is no such array in the file");
    else
        anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it is a group, not an array");
    if (data >= 0)
        H5Oclose(data);
    return -1;
}

static anl_status open_array(anl_array *a, const char *axes, char *reason)
{
    a->opened = anl_hdf5_open(a->file);
    if (a->opened < 0)
        return fail(reason, ANL_ERROR_FORMAT, "the file cannot be opened as HDF5");
    anl_blosc_register();
    a->data = open_data(a->opened, a->path, reason);
    if (a->data < 0)
        return ANL_ERROR_FORMAT;
    hid_t space = H5Dget_space(a->data), type = H5Dget_type(a->data);
    hsize_t dims[5] = {0};
    a->rank = H5Sget_simple_extent_ndims(space);
    const bool fits = a->rank <= 5 && H5Sget_simple_extent_dims(space, dims, NULL) == a->rank;
    const bool numbers = choose_type(type, &a->about, &a->memory);
    H5Sclose(space);
    H5Tclose(type);
    if (!fits)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it has %d axes; up to five are read", a->rank);
    if (!numbers)
        return anl_scan_refuse(reason, ANL_ERROR_FORMAT, "its values are not numbers");
    for (int i = 0; i < a->rank; i++)
        a->dims[i] = dims[i] <= INT64_MAX ? (int64_t)dims[i] : INT64_MAX;
    if (!name_axes(a, axes, reason))
        return ANL_ERROR_ARGUMENT;
    int *sizes[] = {&a->about.depth, &a->about.height, &a->about.width, &a->about.channels};
    for (int i = 0; i < a->rank; i++)
        if (i == a->n)
            a->count = a->dims[i];
        else if (a->dims[i] > ANL_SCAN_MAX_SIDE)
            return anl_scan_refuse(reason, ANL_ERROR_LIMIT, "it has %lld along %c; at most %d are read", (long long)a->dims[i], space_axes[a->axes[i]],
                                   ANL_SCAN_MAX_SIDE);
        else
            *sizes[a->axes[i]] = (int)a->dims[i];
    if (a->n < 0)
        a->count = 1;
    if (a->count < 1 || a->count > ANL_ARRAY_MOST)
        return anl_scan_refuse(reason, ANL_ERROR_LIMIT, "it has %lld scans; 1 to %d are read", (long long)a->count, ANL_ARRAY_MOST);
    anl_status status = anl_scan_allocate(&a->about, false, reason);
    if (status == ANL_OK)
        status = read_attributes(a, reason);
    return status == ANL_OK ? prepare_chunks(a, reason) : status;
}

anl_status anl_array_open(const char *file, const char *path, const char *axes, anl_array *out, char reason[ANL_REASON_SIZE])
{
    *out = (anl_array){.file = file, .path = path, .opened = -1, .data = -1};
    anl_scan_reset(&out->about);
    reason[0] = '\0';
    anl_hdf5_lock();
    anl_status status = open_array(out, axes, reason);
    anl_hdf5_unlock();
    if (status != ANL_OK)
        anl_array_close(out);
    return status;
}

void anl_array_close(anl_array *a)
{
    anl_hdf5_lock();
    if (a->data >= 0)
        H5Dclose(a->data);
    if (a->opened >= 0)
        H5Fclose(a->opened);
    a->data = a->opened = -1;
    anl_hdf5_unlock();
}

/* ---- reading ---- */

/* Axes in the order of the file become z, y, x, channel. */
static void reorder(const anl_array *a, const uint8_t *from, anl_scan *scan)
{
    const size_t size = (size_t)anl_voxel_bytes(scan->type);
    const int64_t strides[4] = {(int64_t)scan->height * scan->width * scan->channels, (int64_t)scan->width * scan->channels, scan->channels, 1};
    int64_t at[5] = {0}, to = 0;
    const int64_t count = anl_scan_count(scan);
    for (int64_t k = 0; k < count; k++, from += size) {
        memcpy((uint8_t *)scan->voxels + (size_t)to * size, from, size);
        for (int i = a->rank - 1; i >= 0; i--) { /* the next place, the last axis first */
            if (i == a->n)
                continue;
            to += strides[a->axes[i]];
            if (++at[i] < a->dims[i])
                break;
            to -= strides[a->axes[i]] * a->dims[i];
            at[i] = 0;
        }
    }
}

static bool in_order(const anl_array *a)
{
    int last = -1;
    for (int i = 0; i < a->rank; i++) {
        if (i == a->n)
            continue;
        if (a->axes[i] < last)
            return false;
        last = a->axes[i];
    }
    return true;
}

anl_status anl_array_read(const anl_array *a, int64_t index, anl_scan *out, char reason[ANL_REASON_SIZE])
{
    *out = a->about;
    anl_status status = anl_scan_allocate(out, true, reason);
    if (status != ANL_OK)
        return status;
    const bool straight = in_order(a);
    void *read = straight ? out->voxels : malloc((size_t)anl_scan_count(out) * (size_t)anl_voxel_bytes(out->type));
    if (!read) {
        anl_scan_free(out);
        return anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for its values");
    }
    hsize_t start[5] = {0}, count[5];
    for (int i = 0; i < a->rank; i++)
        count[i] = i == a->n ? 1 : (hsize_t)a->dims[i];
    if (a->n >= 0)
        start[a->n] = (hsize_t)index;
    anl_hdf5_lock();
    hid_t space = H5Dget_space(a->data), memory = H5Screate_simple(a->rank, count, NULL);
    if (space < 0 || memory < 0 || H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dread(a->data, a->memory, memory, space, H5P_DEFAULT, read) < 0)
        status = fail(reason, ANL_ERROR_FORMAT, "it cannot be read");
    if (space >= 0)
        H5Sclose(space);
    if (memory >= 0)
        H5Sclose(memory);
    anl_hdf5_unlock();
    if (status == ANL_OK && !straight)
        reorder(a, read, out);
    if (!straight)
        free(read);
    if (status != ANL_OK)
        anl_scan_free(out);
    return status;
}

/* ---- labels ---- */

/* Numbers as they would stand in a table; all in one block, the pointers first. */
static anl_status number_texts(hid_t data, bool whole, int64_t count, char ***texts, char *reason)
{
    enum { LONGEST = 32 };
    double *values = malloc(sizeof *values * (size_t)count);
    long long *integers = (long long *)(void *)values; /* of the same size */
    char **list = malloc((sizeof *list + LONGEST) * (size_t)count);
    anl_status status = ANL_OK;
    if (!values || !list)
        status = anl_scan_refuse(reason, ANL_ERROR_MEMORY, "no memory for a column of labels");
    else if (H5Dread(data, whole ? H5T_NATIVE_LLONG : H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        status = fail(reason, ANL_ERROR_FORMAT, "it cannot be read");
    for (int64_t i = 0; i < count && status == ANL_OK; i++) {
        list[i] = (char *)(list + count) + LONGEST * i;
        if (whole)
            snprintf(list[i], LONGEST, "%lld", integers[i]);
        else if (isnan(values[i]))
            strcpy(list[i], "nan");
        else
            snprintf(list[i], LONGEST, "%.17g", values[i]);
    }
    free(values);
    if (status == ANL_OK)
        *texts = list;
    else
        free(list);
    return status;
}

static anl_status read_column(hid_t file, const char *path, char ***texts, int64_t *count, char *reason)
{
    hid_t data = open_data(file, path, reason);
    if (data < 0)
        return ANL_ERROR_FORMAT;
    hid_t space = H5Dget_space(data), type = H5Dget_type(data);
    hsize_t dims[H5S_MAX_RANK];
    const int rank = H5Sget_simple_extent_dims(space, dims, NULL);
    const hssize_t points = H5Sget_simple_extent_npoints(space);
    bool one = rank > 0 && points > 0 && points <= ANL_ARRAY_MOST;
    for (int i = 0; i < rank; i++)
        one = one && (dims[i] == 1 || dims[i] == (hsize_t)points);
    const H5T_class_t class = H5Tget_class(type);
    anl_status status = ANL_OK;
    *count = (int64_t)points;
    if (!one)
        status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "it is not a list of 1 to %d labels", ANL_ARRAY_MOST);
    else if (class == H5T_STRING) {
        size_t read;
        if (!anl_hdf5_read_texts(file, path, false, texts, &read))
            status = fail(reason, ANL_ERROR_FORMAT, "it cannot be read");
    } else if (class == H5T_INTEGER || class == H5T_ENUM || class == H5T_FLOAT)
        status = number_texts(data, class != H5T_FLOAT, *count, texts, reason);
    else
        status = anl_scan_refuse(reason, ANL_ERROR_FORMAT, "its values are neither numbers nor strings");
    H5Sclose(space);
    H5Tclose(type);
    H5Oclose(data);
    return status;
}

anl_status anl_array_texts(const char *file, const char *path, char ***texts, int64_t *count, char reason[ANL_REASON_SIZE])
{
    *texts = NULL;
    reason[0] = '\0';
    anl_hdf5_lock();
    hid_t opened = anl_hdf5_open(file);
    anl_status status;
    if (opened < 0)
        status = fail(reason, ANL_ERROR_FORMAT, "the file cannot be opened as HDF5");
    else {
        anl_blosc_register();
        status = read_column(opened, path, texts, count, reason);
        H5Fclose(opened);
    }
    anl_hdf5_unlock();
    return status;
}
