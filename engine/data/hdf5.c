/* HDF5 with errors as text and one thread at a time.
 * In: names, texts and numbers. Out: files and attributes whose bytes depend on nothing else.
 * Every function here expects the lock to be held. */
#include "data/hdf5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hid_t anl_hdf5_open(const char *path)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    hid_t file = -1;
    if (access >= 0) {
        H5Pset_file_locking(access, false, true);
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
        /* Not H5Fis_hdf5 first: opening says why it fails. */
        file = H5Fopen(path, H5F_ACC_RDONLY, access);
        H5Pclose(access);
    }
    return file;
}

hid_t anl_hdf5_create(const char *path)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), create = H5Pcreate(H5P_FILE_CREATE);
    hid_t file = -1;
    if (access >= 0 && create >= 0) {
        H5Pset_file_locking(access, false, true);
        /* The 1.10 format: chunk indexes of constant size, and nothing that newer libraries cannot read. */
        H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
        H5Pset_obj_track_times(create, false); /* the root group's */
        file = H5Fcreate(path, H5F_ACC_TRUNC, create, access);
    }
    H5Pclose(access);
    H5Pclose(create);
    return file;
}

hid_t anl_hdf5_group_options(void)
{
    hid_t options = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_obj_track_times(options, false);
    return options;
}

hid_t anl_hdf5_dataset_options(void)
{
    hid_t options = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(options, false);
    return options;
}

static hid_t text_type(size_t length)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0) {
        H5Tset_size(type, length > 0 ? length : 1);
        H5Tset_strpad(type, H5T_STR_NULLPAD);
        H5Tset_cset(type, H5T_CSET_UTF8);
    }
    return type;
}

static bool write_scalar(hid_t object, const char *name, hid_t stored, hid_t memory, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(object, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
    bool good = attribute >= 0 && H5Awrite(attribute, memory, value) >= 0;
    if (attribute >= 0)
        H5Aclose(attribute);
    if (space >= 0)
        H5Sclose(space);
    return good;
}

bool anl_hdf5_write_text(hid_t object, const char *name, const char *value)
{
    hid_t type = text_type(strlen(value));
    bool good = type >= 0 && write_scalar(object, name, type, type, value);
    if (type >= 0)
        H5Tclose(type);
    return good;
}

bool anl_hdf5_write_int(hid_t object, const char *name, long long value)
{
    return write_scalar(object, name, H5T_STD_I64LE, H5T_NATIVE_LLONG, &value);
}

bool anl_hdf5_write_double(hid_t object, const char *name, double value)
{
    return write_scalar(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

static bool read_scalar(hid_t object, const char *name, H5T_class_t class_a, H5T_class_t class_b, hid_t memory, void *value)
{
    if (H5Aexists(object, name) <= 0)
        return false;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0)
        return false;
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    H5T_class_t class = H5Tget_class(type);
    bool good = (class == class_a || class == class_b) && H5Sget_simple_extent_npoints(space) == 1 &&
                H5Aread(attribute, memory, value) >= 0;
    H5Tclose(type);
    H5Sclose(space);
    H5Aclose(attribute);
    return good;
}

bool anl_hdf5_read_int(hid_t object, const char *name, long long *value)
{
    return read_scalar(object, name, H5T_INTEGER, H5T_INTEGER, H5T_NATIVE_LLONG, value);
}

bool anl_hdf5_read_double(hid_t object, const char *name, double *value)
{
    return read_scalar(object, name, H5T_FLOAT, H5T_INTEGER, H5T_NATIVE_DOUBLE, value);
}

bool anl_hdf5_read_text(hid_t object, const char *name, char **value)
{
    char **values;
    size_t count;
    if (!anl_hdf5_read_texts(object, name, true, &values, &count))
        return false;
    bool good = count == 1;
    if (good)
        *value = strdup(values[0]);
    free(values);
    return good && *value;
}

bool anl_hdf5_write_texts(hid_t parent, const char *name, bool attribute, const char *const *values, size_t count)
{
    size_t longest = 1;
    for (size_t i = 0; i < count; i++)
        longest = strlen(values[i]) > longest ? strlen(values[i]) : longest;
    char *block = calloc(count > 0 ? count : 1, longest);
    if (!block)
        return false;
    for (size_t i = 0; i < count; i++)
        memcpy(block + i * longest, values[i], strlen(values[i]));
    hsize_t size = count;
    hid_t type = text_type(longest), space = H5Screate_simple(1, &size, NULL), options = anl_hdf5_dataset_options();
    hid_t object = attribute ? H5Acreate2(parent, name, type, space, H5P_DEFAULT, H5P_DEFAULT)
                             : H5Dcreate2(parent, name, type, space, H5P_DEFAULT, options, H5P_DEFAULT);
    bool good = object >= 0;
    if (good && count > 0)
        good = (attribute ? H5Awrite(object, type, block) : H5Dwrite(object, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, block)) >= 0;
    if (object >= 0 && (attribute ? H5Aclose(object) : H5Dclose(object)) < 0)
        good = false;
    H5Pclose(options);
    H5Sclose(space);
    H5Tclose(type);
    free(block);
    return good;
}

/* Packs count texts of at most `stride` bytes each into one block: pointers first, then the bytes. */
static char **pack_texts(const char *bytes, char *const *pointers, size_t stride, size_t count)
{
    size_t total = sizeof(char *) * (count > 0 ? count : 1);
    for (size_t i = 0; i < count; i++)
        total += (pointers ? (pointers[i] ? strlen(pointers[i]) : 0) : strnlen(bytes + i * stride, stride)) + 1;
    char **list = malloc(total);
    if (!list)
        return NULL;
    char *to = (char *)(list + (count > 0 ? count : 1));
    for (size_t i = 0; i < count; i++) {
        const char *from = pointers ? (pointers[i] ? pointers[i] : "") : bytes + i * stride;
        size_t length = pointers ? strlen(from) : strnlen(from, stride);
        list[i] = to;
        memcpy(to, from, length);
        to[length] = '\0';
        to += length + 1;
    }
    return list;
}

bool anl_hdf5_read_texts(hid_t parent, const char *name, bool attribute, char ***values, size_t *count)
{
    *values = NULL;
    *count = 0;
    if (attribute ? H5Aexists(parent, name) <= 0 : H5Lexists(parent, name, H5P_DEFAULT) <= 0)
        return false;
    hid_t object = attribute ? H5Aopen(parent, name, H5P_DEFAULT) : H5Dopen2(parent, name, H5P_DEFAULT);
    if (object < 0)
        return false;
    hid_t type = attribute ? H5Aget_type(object) : H5Dget_type(object);
    hid_t space = attribute ? H5Aget_space(object) : H5Dget_space(object);
    hssize_t points = H5Sget_simple_extent_npoints(space);
    bool good = type >= 0 && points >= 0 && H5Tget_class(type) == H5T_STRING;
    size_t size = good ? H5Tget_size(type) : 0;
    bool variable = good && H5Tis_variable_str(type) > 0;
    /* A damaged file can claim any size; 1 GiB of text in one list is none of ours. */
    if (good && (size == 0 || (uint64_t)points > ((uint64_t)1 << 30) / size))
        good = false;
    if (good) {
        hid_t memory = H5Tcopy(type);
        char *block = calloc(points > 0 ? (size_t)points : 1, size);
        good = memory >= 0 && block;
        if (good && points > 0)
            good =
                (attribute ? H5Aread(object, memory, block) : H5Dread(object, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, block)) >= 0;
        if (good) {
            *values = pack_texts(block, variable ? (char *const *)(void *)block : NULL, size, (size_t)points);
            *count = (size_t)points;
            good = *values != NULL;
            if (variable)
                H5Dvlen_reclaim(memory, space, H5P_DEFAULT, block);
        }
        if (memory >= 0)
            H5Tclose(memory);
        free(block);
    }
    H5Tclose(type);
    H5Sclose(space);
    if (attribute)
        H5Aclose(object);
    else
        H5Dclose(object);
    return good;
}
