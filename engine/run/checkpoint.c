/* Checkpoints: every state of a run in one HDF5 file, written beside the last one and renamed.
 * In: a session. Out: RUN/checkpoints/step-NNNNNNNN.h5, readable with any HDF5 tool: /weights/PATH and /state/PATH, float32 or int32, axes in declared
 * order and named by the attribute `axes`; root attributes step, epoch_steps, seed, format. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/hdf5.h"
#include "run/session.h"

enum { CHECKPOINT_FORMAT = 1 };
static const anl_span nowhere;

static const char *group_of(const anl_state_place *place) { return place->kind == ANL_STATE_OTHER ? "state" : "weights"; }

static bool write_place(const anl_session *s, hid_t group, int place, const void *state, void *scratch)
{
    const anl_state_place *p = &s->layout->places[place];
    hsize_t dims[ANL_MAX_AXES];
    anl_text axes = {0};
    for (int a = 0; a < p->rank; a++) {
        dims[a] = (hsize_t)p->size[a];
        anl_text_printf(&axes, "%s%s", a ? " " : "", p->axis[a]);
    }
    hid_t type = p->dtype == ANL_F32 ? H5T_NATIVE_FLOAT : H5T_NATIVE_INT32;
    hid_t stored = p->dtype == ANL_F32 ? H5T_IEEE_F32LE : H5T_STD_I32LE;
    hid_t space = p->rank ? H5Screate_simple(p->rank, dims, NULL) : H5Screate(H5S_SCALAR);
    hid_t options = anl_hdf5_dataset_options();
    hid_t data = H5Dcreate2(group, p->path, stored, space, H5P_DEFAULT, options, H5P_DEFAULT);
    H5Pclose(options);
    bool good = data >= 0;
    if (good) {
        anl_place_get(s, state, place, scratch);
        good = H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, scratch) >= 0 && anl_hdf5_write_text(data, "axes", axes.data ? axes.data : "");
        good = H5Dclose(data) >= 0 && good;
    }
    H5Sclose(space);
    anl_text_free(&axes);
    return good;
}

anl_status anl_checkpoint_write(anl_session *s, const char *path, const anl_checkpoint_info *info, anl_diagnostics *diagnostics)
{
    void *state = NULL;
    anl_status status = anl_session_state_read(s, &state, diagnostics);
    if (status)
        return status;
    int64_t largest = 1;
    for (int i = 0; i < s->layout->count; i++)
        if (s->layout->places[i].count > largest)
            largest = s->layout->places[i].count;
    void *scratch = malloc((size_t)largest * 4);
    char *temporary = anl_arena_printf(s->arena, "%s.tmp-%ld", path, (long)getpid());
    bool good = scratch != NULL;
    int cause = 0;
    if (good) {
        anl_hdf5_lock();
        errno = 0;
        hid_t file = anl_hdf5_create(temporary);
        good = file >= 0;
        if (good) {
            hid_t options = anl_hdf5_group_options();
            hid_t groups[2] = {H5Gcreate2(file, "weights", H5P_DEFAULT, options, H5P_DEFAULT), H5Gcreate2(file, "state", H5P_DEFAULT, options, H5P_DEFAULT)};
            H5Pclose(options);
            good = groups[0] >= 0 && groups[1] >= 0 && anl_hdf5_write_int(file, "format", CHECKPOINT_FORMAT) && anl_hdf5_write_int(file, "step", info->step) &&
                   anl_hdf5_write_double(file, "epoch_steps", info->epoch_steps) && anl_hdf5_write_int(file, "seed", info->seed) &&
                   anl_hdf5_write_text(file, "title", s->recipe->title ? s->recipe->title : "") &&
                   anl_hdf5_write_text(file, "device", s->device ? anl_device_describe(s->device)->name : "");
            anl_text choices = {0};
            if (good && s->device && anl_vulkan_choices(s->device, &choices) == ANL_OK && choices.length > 0)
                good = anl_hdf5_write_text(file, "choices", choices.data);
            anl_text_free(&choices);
            for (int i = 0; i < s->layout->count && good; i++)
                if (!anl_place_is_arena(s->layout, i))
                    good = write_place(s, groups[s->layout->places[i].kind == ANL_STATE_OTHER], i, state, scratch);
            for (int g = 0; g < 2; g++)
                if (groups[g] >= 0)
                    H5Gclose(groups[g]);
            good = H5Fclose(file) >= 0 && good;
        }
        cause = errno;
        anl_hdf5_unlock();
        if (good) {
            status = anl_file_commit(temporary, path);
            good = status == ANL_OK;
            cause = errno;
        }
        if (!good)
            unlink(temporary);
    }
    free(scratch);
    free(state);
    if (!good) {
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_checkpoint_write, nowhere, "the checkpoint %s could not be written%s%s", path, cause ? ": " : "",
                                         cause ? strerror(cause) : "");
        anl_diagnostic_note(diagnostics, d, "earlier checkpoints are untouched; make room, then go on with --resume");
        return ANL_ERROR_FILE;
    }
    return ANL_OK;
}

int64_t anl_checkpoint_bytes(const anl_state_layout *layout)
{
    enum { OF_FILE = 4096, OF_DATASET = 352 }; /* HDF5's own: headers, names, attributes */
    int64_t bytes = OF_FILE;
    for (int i = 0; i < layout->count; i++)
        if (!anl_place_is_arena(layout, i))
            bytes += OF_DATASET + layout->places[i].count * 4;
    return bytes;
}

static anl_status refuse(anl_diagnostics *diagnostics, const char *path, anl_span span, const char *what)
{
    anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_checkpoint_invalid, span, "%s: %s", path, what);
    anl_diagnostic_note(diagnostics, d, "where a run folder is named in the place of the file, its newest whole checkpoint is taken");
    return ANL_ERROR_FORMAT;
}

static hid_t open_checkpoint(const char *path, anl_span span, anl_diagnostics *diagnostics, anl_status *status)
{
    if (access(path, R_OK) != 0) {
        anl_diagnose(diagnostics, ANL_A_checkpoint_invalid, span, "the checkpoint %s cannot be read: %s", path, strerror(errno));
        *status = ANL_ERROR_FILE;
        return -1;
    }
    hid_t file = anl_hdf5_open(path);
    long long format = 0;
    if (file < 0)
        *status = refuse(diagnostics, path, span, "not an HDF5 file, or a damaged one");
    else if (!anl_hdf5_read_int(file, "format", &format) || H5Lexists(file, "weights", H5P_DEFAULT) <= 0)
        *status = refuse(diagnostics, path, span, "an HDF5 file, but not a checkpoint (it lacks `format` or `weights`)");
    else if (format != CHECKPOINT_FORMAT)
        *status = refuse(diagnostics, path, span, "a checkpoint of another format; write it again with this version");
    else
        *status = ANL_OK;
    if (*status && file >= 0) {
        H5Fclose(file);
        file = -1;
    }
    return file;
}

/* Reads one place from GROUP/NAME. missing: whether an absent one is an error. Counts what was read. */
static anl_status read_place(const anl_session *s, hid_t file, const char *path, const char *name, int place, bool required, anl_span span, void *state,
                             int *count, anl_diagnostics *diagnostics)
{
    const anl_state_place *p = &s->layout->places[place];
    char *full = anl_arena_printf(s->arena, "/%s/%s", group_of(p), name);
    if (H5Lexists(file, full, H5P_DEFAULT) <= 0) {
        if (!required)
            return ANL_OK;
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_checkpoint_mismatch, span, "%s lacks `%s`, which the recipe needs", path, name);
        anl_diagnostic_note(diagnostics, d, "it was written by another recipe; spec.yaml in its run folder is the one");
        return ANL_ERROR_FORMAT;
    }
    hid_t data = H5Dopen2(file, full, H5P_DEFAULT);
    hid_t space = data >= 0 ? H5Dget_space(data) : -1;
    hsize_t dims[H5S_MAX_RANK] = {0};
    int rank = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    bool same = rank == p->rank;
    if (rank > 0)
        H5Sget_simple_extent_dims(space, dims, NULL);
    for (int a = 0; a < p->rank && same; a++)
        same = dims[a] == (hsize_t)p->size[a];
    anl_status status = ANL_OK;
    if (!same) {
        anl_text have = {0}, want = {0};
        for (int a = 0; a < rank; a++)
            anl_text_printf(&have, "%s%llu", a ? " x " : "", (unsigned long long)dims[a]);
        for (int a = 0; a < p->rank; a++)
            anl_text_printf(&want, "%s%s %d", a ? ", " : "", p->axis[a], p->size[a]);
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_checkpoint_mismatch, span, "`%s` is %s in %s, but [%s] in the recipe", name,
                                         have.data ? have.data : "a single number", path, want.data ? want.data : "");
        anl_diagnostic_note(diagnostics, d, "give the recipe the sizes that the checkpoint was trained with; spec.yaml in its run folder has them");
        anl_text_free(&have);
        anl_text_free(&want);
        status = ANL_ERROR_FORMAT;
    } else {
        void *scratch = malloc((size_t)p->count * 4);
        if (!scratch || H5Dread(data, p->dtype == ANL_F32 ? H5T_NATIVE_FLOAT : H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, scratch) < 0)
            status = refuse(diagnostics, path, span, "damaged: a weight cannot be read");
        else
            anl_place_set(s, state, place, scratch);
        *count += status == ANL_OK;
        free(scratch);
    }
    if (space >= 0)
        H5Sclose(space);
    if (data >= 0)
        H5Dclose(data);
    return status;
}

anl_status anl_checkpoint_read(anl_session *s, const char *path, bool all, anl_checkpoint_info *info, anl_diagnostics *diagnostics)
{
    void *state = NULL;
    anl_status status = anl_session_state_read(s, &state, diagnostics);
    if (status)
        return status;
    anl_hdf5_lock();
    hid_t file = open_checkpoint(path, nowhere, diagnostics, &status);
    int count = 0;
    for (int i = 0; i < s->layout->count && !status; i++)
        if (!anl_place_is_arena(s->layout, i)) {
            /* Weights are always needed; the optimizer's and other state only when a run goes on. */
            bool required = all || s->layout->places[i].kind != ANL_STATE_OTHER;
            status = read_place(s, file, path, s->layout->places[i].path, i, required, nowhere, state, &count, diagnostics);
        }
    if (!status && info) {
        *info = (anl_checkpoint_info){0};
        long long step = 0, seed = 0;
        bool good = anl_hdf5_read_int(file, "step", &step) && anl_hdf5_read_double(file, "epoch_steps", &info->epoch_steps) && anl_hdf5_read_int(file, "seed", &seed);
        info->step = step;
        info->seed = seed;
        if (!good && all)
            status = refuse(diagnostics, path, nowhere, "it does not say at which step it was written");
    }
    if (file >= 0)
        H5Fclose(file);
    anl_hdf5_unlock();
    if (!status)
        status = anl_session_state_write(s, state, diagnostics);
    free(state);
    return status;
}

anl_status anl_checkpoint_module(anl_session *s, const char *path, const char *from, const char *module, anl_span span, int *count,
                                 anl_diagnostics *diagnostics)
{
    void *state = NULL;
    *count = 0;
    anl_status status = anl_session_state_read(s, &state, diagnostics);
    if (status)
        return status;
    size_t length = strlen(module);
    int wanted = 0;
    anl_hdf5_lock();
    hid_t file = open_checkpoint(path, span, diagnostics, &status);
    for (int i = 0; i < s->layout->count && !status; i++) {
        const anl_state_place *p = &s->layout->places[i];
        /* An optimizer's state of a weight is called PATH:name; fine-tuning starts with its own. */
        if (anl_place_is_arena(s->layout, i) || strncmp(p->path, module, length) || p->path[length] != '.' || strchr(p->path, ':'))
            continue;
        wanted++;
        char *name = anl_arena_printf(s->arena, "%s%s", from, p->path + length);
        status = read_place(s, file, path, name, i, true, span, state, count, diagnostics);
    }
    if (file >= 0)
        H5Fclose(file);
    anl_hdf5_unlock();
    if (!status && wanted == 0) {
        anl_diagnose(diagnostics, ANL_A_checkpoint_mismatch, span, "the module `%s` has no weights to initialize", module);
        status = ANL_ERROR_SPEC;
    }
    if (!status)
        status = anl_session_state_write(s, state, diagnostics);
    free(state);
    return status;
}

const char *anl_checkpoint_choices(anl_arena *arena, const char *path)
{
    const char *copy = NULL;
    char *text = NULL;
    anl_hdf5_lock();
    hid_t file = anl_hdf5_open(path);
    if (file >= 0 && H5Aexists(file, "choices") > 0 && anl_hdf5_read_text(file, "choices", &text))
        copy = anl_arena_text(arena, text);
    if (file >= 0)
        H5Fclose(file);
    anl_hdf5_unlock();
    free(text);
    return copy;
}

static int newest_first(const void *a, const void *b) { return strcmp(*(const char *const *)b, *(const char *const *)a); }

anl_status anl_checkpoint_latest(anl_arena *arena, const char *folder, anl_diagnostics *diagnostics, const char **path)
{
    *path = NULL;
    char *checkpoints = anl_arena_printf(arena, "%s/checkpoints", folder);
    DIR *list = opendir(checkpoints);
    if (!list)
        return ANL_OK;
    const char **names = NULL;
    int count = 0, capacity = 0;
    for (struct dirent *entry; (entry = readdir(list));) {
        size_t length = strlen(entry->d_name);
        if (!strncmp(entry->d_name, "step-", 5) && length > 8 && !strcmp(entry->d_name + length - 3, ".h5"))
            ANL_PUSH(arena, names, count, capacity, anl_arena_text(arena, entry->d_name));
    }
    closedir(list);
    if (count)
        qsort(names, (size_t)count, sizeof *names, newest_first); /* step numbers are zero-padded */
    const char **reasons = ANL_NEW_ARRAY(arena, const char *, count + 1);
    int broken = 0;
    while (broken < count && !*path) {
        char *candidate = anl_arena_printf(arena, "%s/%s", checkpoints, names[broken]);
        anl_diagnostics *why = anl_diagnostics_new();
        anl_status status;
        anl_hdf5_lock();
        hid_t file = open_checkpoint(candidate, nowhere, why, &status);
        if (file >= 0)
            H5Fclose(file);
        anl_hdf5_unlock();
        if (status == ANL_OK)
            *path = candidate;
        else
            reasons[broken++] = anl_diagnostics_count(why) ? anl_arena_text(arena, anl_diagnostics_get(why, 0)->message) : candidate;
        anl_diagnostics_free(&why);
    }
    for (int i = 0; i < broken && *path; i++)
        anl_diagnose(diagnostics, ANL_A_checkpoint_skipped, nowhere, "%s; %s is used instead", reasons[i], *path);
    if (*path || !count)
        return ANL_OK;
    anl_diagnostic *d =
        anl_diagnose(diagnostics, ANL_A_checkpoint_invalid, nowhere, "none of the %d checkpoints in %s can be read", count, checkpoints);
    for (int i = 0; i < count && i < 8; i++)
        anl_diagnostic_note(diagnostics, d, "%s", reasons[i]);
    anl_diagnostic_note(diagnostics, d, "bring one of them back from a copy, or start anew in another folder; nothing was changed");
    return ANL_ERROR_FORMAT;
}

anl_status anl_checkpoint_find(anl_arena *arena, const char *named, anl_span span, anl_diagnostics *diagnostics, const char **path)
{
    struct stat info;
    *path = named;
    if (stat(named, &info) != 0 || !S_ISDIR(info.st_mode))
        return ANL_OK;
    anl_status status = anl_checkpoint_latest(arena, named, diagnostics, path);
    if (!status && !*path) {
        anl_diagnose(diagnostics, ANL_A_checkpoint_invalid, span, "%s holds no checkpoint (checkpoints/step-*.h5)", named);
        status = ANL_ERROR_FILE;
    }
    return status;
}
