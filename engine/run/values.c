/* Values of a recipe on given arrays: the debugging tool, and the door for comparison with other programs.
 * In: a recipe, arrays from HDF5 files for its fields, names or expressions to fetch. Out: an HDF5 file with one data set for each.
 * Axes come and go in declared order; each data set names its axes in the attribute `axes`. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/hdf5.h"
#include "run/session.h"

static const anl_span nowhere;

typedef struct feed {
    char *name, *file, *path;
} feed;

static anl_status parse_feed(anl_session *s, const char *text, feed *out, anl_diagnostics *diagnostics)
{
    const char *equals = strchr(text, '=');
    const char *colon = equals ? strstr(equals, ":/") : NULL;
    if (!equals || equals == text || !colon) {
        anl_diagnostic *d =
            anl_diagnose(diagnostics, ANL_A_feed_invalid, nowhere, "`--feed %s` is not of the form name=file.h5:/path", text);
        anl_diagnostic_note(diagnostics, d, "such as image=shards/one.h5:/image; a mask is fed as NAME:mask");
        return ANL_ERROR_ARGUMENT;
    }
    out->name = anl_arena_copy(s->arena, text, (size_t)(equals - text));
    out->file = anl_arena_copy(s->arena, equals + 1, (size_t)(colon - equals - 1));
    out->path = anl_arena_text(s->arena, colon + 1);
    return ANL_OK;
}

/* Reads an array of batch x field axes. */
static anl_status read_feed(anl_session *s, const feed *f, float **values, float **masks, anl_diagnostics *diagnostics)
{
    const char *colon = strchr(f->name, ':');
    size_t length = colon ? (size_t)(colon - f->name) : strlen(f->name);
    int field = -1;
    for (int i = 0; i < s->facts.field_count; i++)
        if (!strncmp(s->facts.fields[i].name, f->name, length) && !s->facts.fields[i].name[length])
            field = i;
    if (field < 0 || (colon && strcmp(colon, ":mask") != 0)) {
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_feed_invalid, nowhere, "the recipe has no field `%s` to feed", f->name);
        anl_text names = {0};
        for (int i = 0; i < s->facts.field_count; i++)
            anl_text_printf(&names, "%s%s", i ? ", " : "", s->facts.fields[i].name);
        anl_diagnostic_note(diagnostics, d, "its fields are: %s (and NAME:mask)", names.data ? names.data : "none");
        anl_text_free(&names);
        return ANL_ERROR_ARGUMENT;
    }
    const struct anl_static_field *wanted = &s->facts.fields[field];
    if (access(f->file, R_OK) != 0) {
        anl_diagnose(diagnostics, ANL_A_feed_invalid, nowhere, "%s cannot be read: %s", f->file, strerror(errno));
        return ANL_ERROR_FILE;
    }
    anl_hdf5_lock();
    hid_t file = anl_hdf5_open(f->file);
    hid_t data = file >= 0 ? H5Dopen2(file, f->path, H5P_DEFAULT) : -1;
    hid_t space = data >= 0 ? H5Dget_space(data) : -1;
    int rank = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    hsize_t dims[H5S_MAX_RANK] = {0};
    anl_status status = ANL_OK;
    if (rank > 0)
        H5Sget_simple_extent_dims(space, dims, NULL);
    if (file < 0 || data < 0) {
        anl_diagnose(diagnostics, ANL_A_feed_invalid, nowhere, file < 0 ? "%s is not an HDF5 file" : "%s has no data set %s", f->file, f->path);
        status = ANL_ERROR_FORMAT;
    } else {
        bool fits = rank == wanted->rank + 1 && dims[0] == (hsize_t)s->facts.batch;
        size_t count = (size_t)s->facts.batch;
        for (int a = 0; a < wanted->rank; a++) {
            fits = fits && dims[a + 1] == (hsize_t)wanted->size[a];
            count *= (size_t)wanted->size[a];
        }
        if (!fits) {
            anl_text have = {0}, want = {0};
            for (int a = 0; a < rank; a++)
                anl_text_printf(&have, "%s%llu", a ? " x " : "", (unsigned long long)dims[a]);
            anl_text_printf(&want, "batch %d", s->facts.batch);
            for (int a = 0; a < wanted->rank; a++)
                anl_text_printf(&want, ", %s %d", wanted->axis[a], wanted->size[a]);
            anl_diagnose(diagnostics, ANL_A_feed_invalid, wanted->span, "%s:%s is %s, but `%s` has the axes [%s]", f->file, f->path, have.data ? have.data : "a single number",
                         f->name, want.data);
            anl_text_free(&have);
            anl_text_free(&want);
            status = ANL_ERROR_FORMAT;
        } else {
            float **to = colon ? &masks[field] : &values[field];
            free(*to);
            *to = malloc(count * sizeof(float));
            if (!*to || H5Dread(data, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, *to) < 0) {
                anl_diagnose(diagnostics, ANL_A_feed_invalid, nowhere, "%s:%s cannot be read as numbers", f->file, f->path);
                status = ANL_ERROR_FORMAT;
            }
        }
    }
    if (space >= 0)
        H5Sclose(space);
    if (data >= 0)
        H5Dclose(data);
    if (file >= 0)
        H5Fclose(file);
    anl_hdf5_unlock();
    return status;
}

/* A fetch's text as the name of a data set: '/' would make groups. */
static char *dataset_name(anl_session *s, const char *text)
{
    char *name = anl_arena_text(s->arena, text);
    for (char *c = name; *c; c++)
        if (*c == '/')
            *c = '|';
    return name;
}

static anl_status write_outputs(anl_session *s, anl_phase *phase, const anl_values_options *options, anl_diagnostics *diagnostics)
{
    char *temporary = anl_arena_printf(s->arena, "%s.tmp-%ld", options->out, (long)getpid());
    anl_status status = ANL_OK;
    anl_hdf5_lock();
    hid_t file = anl_hdf5_create(temporary);
    bool good = file >= 0;
    for (int i = 0; i < options->fetch_count && good && !status; i++) {
        int output = anl_session_output(phase, options->fetches[i]);
        if (output < 0) {
            anl_diagnose(diagnostics, ANL_A_fetch_unknown, nowhere, "`%s` is not a value of the recipe", options->fetches[i]);
            status = ANL_ERROR_ARGUMENT;
            break;
        }
        const anl_port *port = &phase->program->outputs[output];
        int64_t count = anl_port_count(port);
        double *values = malloc(sizeof(double) * (size_t)count);
        if (!values) {
            status = ANL_ERROR_MEMORY;
            anl_diagnose(diagnostics, ANL_A_device_memory, nowhere, "not enough memory for `%s`", options->fetches[i]);
            break;
        }
        status = anl_session_fetch(s, phase, output, options->step, values, diagnostics);
        if (!status) {
            hsize_t dims[ANL_MAX_DIMS];
            anl_text axes = {0};
            for (int a = 0; a < port->rank; a++) {
                dims[a] = (hsize_t)port->size[a];
                anl_text_printf(&axes, "%s%s", a ? " " : "", port->axis[a]);
            }
            hid_t stored = port->dtype != ANL_F32 ? H5T_STD_I32LE : s->f64 ? H5T_IEEE_F64LE : H5T_IEEE_F32LE;
            hid_t space = port->rank ? H5Screate_simple(port->rank, dims, NULL) : H5Screate(H5S_SCALAR);
            hid_t plain = anl_hdf5_dataset_options();
            hid_t data = H5Dcreate2(file, dataset_name(s, options->fetches[i]), stored, space, H5P_DEFAULT, plain, H5P_DEFAULT);
            H5Pclose(plain);
            good = data >= 0 && H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0;
            good = good && anl_hdf5_write_text(data, "axes", axes.data ? axes.data : "");
            if (data >= 0)
                H5Dclose(data);
            H5Sclose(space);
            anl_text_free(&axes);
        }
        free(values);
    }
    if (file >= 0)
        good = H5Fclose(file) >= 0 && good;
    anl_hdf5_unlock();
    if (!status && (!good || anl_file_commit(temporary, options->out))) {
        anl_diagnose(diagnostics, ANL_A_run_folder, nowhere, "%s cannot be written%s%s", options->out, errno ? ": " : "", errno ? strerror(errno) : "");
        status = ANL_ERROR_FILE;
    }
    if (status)
        unlink(temporary);
    return status;
}

anl_status anl_run_values(const anl_values_options *options, anl_diagnostics *diagnostics)
{
    anl_session *s = NULL;
    anl_status status = anl_session_open(&options->source, diagnostics, &s);
    int what = options->evaluate ? ANL_PREPARE_EVALUATE : ANL_PREPARE_TRAIN;
    bool only_weights = options->init_weights != NULL;
    if (!status)
        status = anl_session_prepare(s, &options->source, what, 1000, only_weights ? NULL : options->fetches, only_weights ? 0 : options->fetch_count, diagnostics);
    if (!status)
        status = anl_session_initialize(s, diagnostics);
    if (!status && options->weights) {
        const char *path;
        status = anl_checkpoint_find(s->arena, options->weights, nowhere, diagnostics, &path);
        if (!status)
            status = anl_checkpoint_read(s, path, false, NULL, diagnostics);
    }
    if (!status && only_weights) {
        anl_checkpoint_info info = {.epoch_steps = 0, .seed = s->facts.seed};
        status = anl_checkpoint_write(s, options->init_weights, &info, diagnostics);
    } else if (!status) {
        anl_phase *phase = options->evaluate ? &s->evaluate : anl_session_phase(s, options->step);
        float **values = calloc((size_t)s->facts.field_count + 1, sizeof *values), **masks = calloc((size_t)s->facts.field_count + 1, sizeof *masks);
        if (!values || !masks)
            status = ANL_ERROR_MEMORY;
        for (int i = 0; i < options->feed_count && !status; i++) {
            feed f;
            status = parse_feed(s, options->feeds[i], &f, diagnostics);
            if (!status)
                status = read_feed(s, &f, values, masks, diagnostics);
        }
        if (!status)
            status = anl_session_feed(s, phase, values, masks, diagnostics);
        if (!status)
            status = anl_session_step(s, phase, options->step, diagnostics);
        if (!status)
            status = write_outputs(s, phase, options, diagnostics);
        for (int i = 0; values && masks && i < s->facts.field_count; i++) {
            free(values[i]);
            free(masks[i]);
        }
        free(values);
        free(masks);
    }
    anl_session_free(&s);
    return status;
}
