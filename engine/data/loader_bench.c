/* How fast the loader delivers, beside the plain reading of the same files.
 * In: shards. Out: images and bytes a second.
 * Both begin with files that are not in memory, where the system lets go of them: training sets are larger than memory. */
#include <anlage/dataset.h>
#include <anlage/diagnostic_codes.h>

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "data/shard.h"

enum { READ_BYTES = 1 << 20 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static anl_status file_problem(const char *path, anl_diagnostics *diagnostics)
{
    anl_diagnose(diagnostics, ANL_A_shard_invalid, (anl_span){.file = path}, "cannot read %s: %s", path, strerror(errno));
    return ANL_ERROR_FILE;
}

/* Reads a file from end to end (or, with drop, takes it out of the system's cache). */
static anl_status through(const char *path, bool drop, char *room, int64_t *bytes, anl_diagnostics *diagnostics)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return file_problem(path, diagnostics);
    anl_status status = ANL_OK;
    if (drop) {
        fdatasync(descriptor); /* what is not written yet cannot be let go */
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    } else {
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL);
        for (ssize_t got = 1; got > 0;) {
            got = read(descriptor, room, READ_BYTES);
            if (got < 0)
                status = file_problem(path, diagnostics);
            else
                *bytes += got;
        }
    }
    close(descriptor);
    return status;
}

static anl_status drop_all(const glob_t *found, bool warm, anl_diagnostics *diagnostics)
{
    anl_status status = ANL_OK;
    for (size_t i = 0; i < found->gl_pathc && status == ANL_OK && !warm; i++)
        status = through(found->gl_pathv[i], true, NULL, NULL, diagnostics);
    return status;
}

/* The field `image` as the first shard has it. */
static anl_status image_field(const char *path, anl_field *field, anl_shard_image *image, anl_diagnostics *diagnostics)
{
    static char unit[16];
    char reason[ANL_REASON_SIZE];
    anl_shard shard;
    anl_hdf5_lock();
    anl_status status = anl_shard_open(path, &shard, reason);
    if (status == ANL_OK) {
        *image = shard.image;
        memcpy(unit, shard.unit, sizeof unit);
        *field = (anl_field){.name = "image", .unit = unit[0] ? unit : NULL};
        static const char *const names[] = {"channel", "z", "y", "x"};
        const int sizes[] = {image->channels, image->depth, image->height, image->width};
        for (int a = 0; a < 4; a++)
            if (a != 1 || image->volume) {
                field->axis[field->rank] = names[a];
                field->size[field->rank++] = sizes[a];
            }
        anl_shard_close(&shard);
    }
    anl_hdf5_unlock();
    if (status != ANL_OK)
        anl_diagnose(diagnostics, ANL_A_shard_invalid, (anl_span){.file = path}, "cannot read the shard %s: %s", path, reason);
    return status;
}

static anl_status measure(const anl_loader_bench_options *o, const glob_t *found, anl_diagnostics *diagnostics,
                          anl_loader_bench_result *out)
{
    anl_field field;
    anl_shard_image image;
    anl_status status = image_field(found->gl_pathv[0], &field, &image, diagnostics);
    if (status != ANL_OK)
        return status;
    anl_dataset *set = NULL;
    anl_dataset_options options = {.pattern = o->pattern, .label_fraction = 1};
    status = anl_dataset_open(&options, &field, 1, diagnostics, &set);
    if (status != ANL_OK)
        return status;
    out->samples = anl_dataset_count(set);
    const double least = o->seconds > 0 ? o->seconds : 2;
    anl_loader_options how = {.batch = o->batch > 0 ? o->batch : 64, .threads = o->threads};
    how.batch = how.batch > out->samples ? (int)out->samples : how.batch;
    const int64_t steps = out->samples / how.batch;
    char *room = malloc(READ_BYTES);
    if (!room)
        status = ANL_ERROR_MEMORY;
    int64_t delivered = 0, bytes = 0;
    double spent = 0, plain = 0;
    /* In turns, so that what else the machine does meets both alike; each from files that are not in memory. */
    while (status == ANL_OK && (spent < least || plain < least)) {
        status = drop_all(found, o->warm, diagnostics);
        anl_loader *loader = NULL;
        how.seed++;
        double began = seconds();
        if (status == ANL_OK)
            status = anl_loader_new(set, &how, diagnostics, &loader);
        const anl_batch *batch;
        for (int64_t s = 0; s < steps && status == ANL_OK; s++)
            status = anl_loader_next(loader, &batch, diagnostics);
        spent += seconds() - began;
        delivered += steps * how.batch;
        anl_loader_free(&loader);
        if (status == ANL_OK)
            status = drop_all(found, o->warm, diagnostics);
        began = seconds();
        for (size_t i = 0; i < found->gl_pathc && status == ANL_OK; i++)
            status = through(found->gl_pathv[i], false, room, &bytes, diagnostics);
        plain += seconds() - began;
    }
    free(room);
    anl_dataset_free(&set);
    if (status != ANL_OK)
        return status;
    struct stat about;
    for (size_t i = 0; i < found->gl_pathc; i++)
        out->bytes += stat(found->gl_pathv[i], &about) == 0 ? about.st_size : 0;
    out->images_per_second = (double)delivered / spent;
    out->bytes_per_second = out->images_per_second * (double)out->bytes / (double)out->samples;
    out->plain_bytes_per_second = (double)bytes / plain;
    return ANL_OK;
}

anl_status anl_loader_bench(const anl_loader_bench_options *options, anl_diagnostics *diagnostics, anl_loader_bench_result *out)
{
    memset(out, 0, sizeof *out);
    glob_t found;
    int result = glob(options->pattern, GLOB_BRACE, NULL, &found);
    if (result != 0) {
        anl_diagnostic *d =
            anl_diagnose(diagnostics, ANL_A_shard_missing, (anl_span){0}, "no shard matches %s", options->pattern);
        anl_diagnostic_note(diagnostics, d, "shards are written by `anlage pack DIR --labels labels.csv --size N --out DIR`");
        return ANL_ERROR_FILE;
    }
    anl_status status = measure(options, &found, diagnostics, out);
    globfree(&found);
    return status;
}
