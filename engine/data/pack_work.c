/* The private folder of a pack under way.
 * In: see pack_work.h. Out: see pack_work.h.
 * A shard is trusted after a kill when its sum is the one that was written down after it. */
#include "data/pack_work.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <anlage/diagnostic_codes.h>

#include "base/folders.h"

const char *const anl_split_names[ANL_SPLITS] = {"train", "valid", "test"};

static const char *inside(const anl_pack_work *w, const char *name) { return anl_path_join(w->arena, w->folder, name); }
static const char *outside(const anl_pack_work *w, const char *name) { return anl_path_join(w->arena, w->out, name); }

static bool exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

/* train-00012.h5 and the like, and the manifest. */
static bool of_a_pack(const char *name)
{
    if (strcmp(name, "manifest.json") == 0)
        return true;
    for (int s = 0; s < ANL_SPLITS; s++) {
        size_t length = strlen(anl_split_names[s]);
        if (strncmp(name, anl_split_names[s], length) == 0 && name[length] == '-') {
            size_t digits = strspn(name + length + 1, "0123456789");
            if (digits >= 5 && strcmp(name + length + 1 + digits, ".h5") == 0)
                return true;
        }
    }
    return false;
}

static anl_status cannot(anl_diagnostics *diagnostics, const char *what, const char *path)
{
    anl_diagnose(diagnostics, ANL_A_data_write, (anl_span){.file = path}, "cannot %s %s: %s", what, path, strerror(errno));
    return ANL_ERROR_FILE;
}

/* Removes the files of a folder that are to go. The first that cannot be removed ends it, with errno. */
static anl_status sweep(const anl_pack_work *w, const char *folder, bool (*goes)(const anl_pack_work *w, const char *name))
{
    DIR *open = opendir(folder);
    if (!open)
        return ANL_ERROR_FILE;
    anl_status status = ANL_OK;
    for (struct dirent *found; status == ANL_OK && (found = readdir(open));)
        if (strcmp(found->d_name, ".") && strcmp(found->d_name, "..") && goes(w, found->d_name) &&
            unlink(anl_path_join(w->arena, folder, found->d_name)) != 0)
            status = ANL_ERROR_FILE;
    int reason = errno;
    closedir(open);
    errno = reason;
    return status;
}

static bool goes_from_out(const anl_pack_work *w, const char *name)
{
    (void)w;
    return of_a_pack(name);
}

static bool all(const anl_pack_work *w, const char *name)
{
    (void)w;
    (void)name;
    return true;
}

static bool all_but_lock(const anl_pack_work *w, const char *name)
{
    (void)w;
    return strcmp(name, "lock") != 0;
}

/* What is left of a folder that was done with, should its removal have been cut short. */
static anl_status remove_done(const anl_pack_work *w)
{
    const char *done = outside(w, ".anlage-pack.done");
    if (!exists(done))
        return ANL_OK;
    return sweep(w, done, all) == ANL_OK && rmdir(done) == 0 ? ANL_OK : ANL_ERROR_FILE;
}

/* By a rename first: after a kill the folder is there with all it holds, or is done with. */
static anl_status remove_folder(const anl_pack_work *w)
{
    if (remove_done(w) != ANL_OK || rename(w->folder, outside(w, ".anlage-pack.done")) != 0)
        return ANL_ERROR_FILE;
    return remove_done(w);
}

/* What a kill left half done. */
static bool unfinished(const anl_pack_work *w, const char *name)
{
    static const char *const kept[] = {"lock", "plan", "salt", "publishing"};
    for (size_t i = 0; i < ANL_COUNT(kept); i++)
        if (!strcmp(name, kept[i]))
            return false;
    for (int i = 0; i < w->part_count; i++) {
        const char *file = w->parts[i].file;
        const size_t stem = strlen(file) - strlen(".h5");
        if (!strcmp(name, file) || (!strncmp(name, file, stem) && !strcmp(name + stem, ".part")))
            return false;
    }
    return true;
}

/* ---- what is known of a finished shard ---- */

static const char *part_file(const anl_pack_work *w, int split, int number) { return anl_arena_printf(w->arena, "%s-%05d.part", anl_split_names[split], number); }

static anl_status write_part(const anl_pack_work *w, const anl_pack_part *p)
{
    anl_text text = {0};
    char hex[65];
    anl_hex(p->sha256, sizeof p->sha256, hex);
    anl_text_printf(&text, "shard %" PRId64 " %" PRId64 " %s\nnext %" PRId64 " %d\n", p->samples, p->bytes, hex, p->next_entry, p->next_sample);
    anl_text_printf(&text, "boxes %" PRId64 " %" PRId64 " %" PRId64 "\n", p->boxes, p->most_boxes, p->boxes_outside);
    for (int i = 0; i < p->taken_count; i++) {
        const anl_pack_taken *t = &p->taken[i];
        anl_hex(t->pixels, sizeof t->pixels, hex);
        anl_text_printf(&text, "taken %" PRId64 " %d %s %a %a %a\n", t->entry, t->samples, hex, t->spacing[0], t->spacing[1], t->spacing[2]);
    }
    for (int i = 0; i < p->left_count; i++) {
        anl_text_printf(&text, "left %" PRId64 " ", p->left[i].entry);
        for (const char *c = p->left[i].reason; *c; c++) /* a reason is a line */
            anl_text_addn(&text, *c == '\n' ? " " : c, 1);
        anl_text_add(&text, "\n");
    }
    for (int m = 0; m < w->modalities; m++) {
        const anl_histogram *h = &p->histograms[m];
        anl_text_printf(&text, "values %d %" PRId64 " %" PRId64, m, h->below, h->above);
        for (int b = 0; b < ANL_HISTOGRAM_BINS; b++)
            anl_text_printf(&text, " %" PRId64, h->bins[b]);
        anl_text_add(&text, "\n");
    }
    anl_text_add(&text, "end\n");
    anl_status status = anl_file_write_atomic(inside(w, part_file(w, p->split, p->number)), text.data, text.length);
    anl_text_free(&text);
    return status;
}

static bool from_hex(const char *hex, uint8_t *bytes, size_t count)
{
    if (strlen(hex) != 2 * count || strspn(hex, "0123456789abcdef") != 2 * count)
        return false;
    for (size_t i = 0; i < count; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    return true;
}

static bool read_line(const anl_pack_work *w, anl_pack_part *p, const char *line)
{
    char hex[65];
    int used = 0;
    if (sscanf(line, "shard %" SCNd64 " %" SCNd64 " %64s%n", &p->samples, &p->bytes, hex, &used) == 3 && !line[used])
        return from_hex(hex, p->sha256, sizeof p->sha256);
    if (sscanf(line, "next %" SCNd64 " %d%n", &p->next_entry, &p->next_sample, &used) == 2 && !line[used])
        return true;
    if (sscanf(line, "boxes %" SCNd64 " %" SCNd64 " %" SCNd64 "%n", &p->boxes, &p->most_boxes, &p->boxes_outside, &used) == 3 && !line[used])
        return true;
    anl_pack_taken t;
    if (sscanf(line, "taken %" SCNd64 " %d %64s %la %la %la%n", &t.entry, &t.samples, hex, &t.spacing[0], &t.spacing[1], &t.spacing[2], &used) == 6 &&
        !line[used] && from_hex(hex, t.pixels, sizeof t.pixels)) {
        ANL_PUSH(w->arena, p->taken, p->taken_count, p->taken_capacity, t);
        return true;
    }
    anl_pack_left l;
    if (sscanf(line, "left %" SCNd64 " %n", &l.entry, &used) == 1) {
        l.reason = anl_arena_text(w->arena, line + used);
        ANL_PUSH(w->arena, p->left, p->left_count, p->left_capacity, l);
        return true;
    }
    int modality;
    anl_histogram h;
    if (sscanf(line, "values %d %" SCNd64 " %" SCNd64 "%n", &modality, &h.below, &h.above, &used) != 3 || modality < 0 || modality >= w->modalities)
        return false;
    const char *at = line + used;
    for (int b = 0; b < ANL_HISTOGRAM_BINS; b++) {
        char *end;
        h.bins[b] = strtoll(at, &end, 10);
        if (end == at)
            return false;
        at = end;
    }
    p->histograms[modality] = h;
    return !*at;
}

/* Whether there is such a shard, whole. */
static bool read_part(const anl_pack_work *w, int split, int number, anl_pack_part *p)
{
    *p = (anl_pack_part){.split = split, .number = number, .file = anl_arena_printf(w->arena, "%s-%05d.h5", anl_split_names[split], number)};
    p->histograms = ANL_NEW_ARRAY(w->arena, anl_histogram, w->modalities);
    char *text;
    if (anl_file_read(w->arena, inside(w, part_file(w, split, number)), 0, &text, NULL) != ANL_OK)
        return false;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) && strcmp(line, "end") != 0)
        if (!read_line(w, p, line))
            return false;
    uint8_t digest[32];
    const char *path = exists(inside(w, p->file)) ? inside(w, p->file) : outside(w, p->file);
    return line && anl_sha256_file(path, digest) == ANL_OK && !memcmp(digest, p->sha256, sizeof digest);
}

/* ---- beginning and going on ---- */

static anl_status make_salt(anl_pack_work *w)
{
    if (getrandom(w->salt, sizeof w->salt, 0) != (ssize_t)sizeof w->salt)
        return ANL_ERROR_FILE;
    int file = open(inside(w, "salt"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0)
        return ANL_ERROR_FILE;
    bool good = write(file, w->salt, sizeof w->salt) == (ssize_t)sizeof w->salt && fsync(file) == 0;
    return close(file) == 0 && good ? ANL_OK : ANL_ERROR_FILE;
}

static anl_status read_salt(anl_pack_work *w)
{
    char *bytes;
    size_t length;
    errno = EIO;
    if (anl_file_read(w->arena, inside(w, "salt"), 0, &bytes, &length) != ANL_OK || length != sizeof w->salt)
        return ANL_ERROR_FILE;
    memcpy(w->salt, bytes, length);
    return ANL_OK;
}

static anl_status take_lock(anl_pack_work *w, anl_diagnostics *diagnostics)
{
    struct stat about;
    w->lock = open(inside(w, "lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (w->lock < 0)
        return cannot(diagnostics, "make", inside(w, "lock"));
    const bool taken = flock(w->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; /* some file systems have no locks */
    if (!taken && fstat(w->lock, &about) == 0 && about.st_nlink > 0)
        return ANL_OK;
    anl_diagnose(diagnostics, ANL_A_data_write, (anl_span){.file = w->out}, "another process is packing into %s", w->out);
    close(w->lock);
    w->lock = -1;
    return ANL_ERROR_FILE;
}

/* The first line of two plans that differs, for people. */
static void tell_change(const anl_pack_work *w, char *then, const char *plan, anl_diagnostics *diagnostics)
{
    char *now = anl_arena_text(w->arena, plan), *a, *b;
    do {
        a = strsep(&then, "\n");
        b = strsep(&now, "\n");
    } while (a && b && !strcmp(a, b));
    char none[] = "", *was = a && *a ? a : none, *is = b && *b ? b : none;
    const char *was_name = strsep(&was, "\t"), *is_name = strsep(&is, "\t");
    anl_diagnostic *d;
    if (!strcmp(was_name, is_name))
        d = anl_diagnose(diagnostics, ANL_A_pack_changed, (anl_span){.file = w->out}, "an unfinished pack in %s was begun with other input: %s was %s, and is %s now",
                         w->out, is_name, was ? was : "", is ? is : "");
    else
        d = anl_diagnose(diagnostics, ANL_A_pack_changed, (anl_span){.file = w->out}, "an unfinished pack in %s was begun with other files: where %s was is %s now", w->out,
                         *was_name ? was_name : "none", *is_name ? is_name : "none");
    anl_diagnostic_note(diagnostics, d, "nothing is mixed: give the arguments and files that it was begun with to go on, or say --force to begin anew");
}

static bool folder_has_pack(const char *out)
{
    DIR *open = opendir(out);
    bool has = false;
    for (struct dirent *found; open && !has && (found = readdir(open));)
        has = of_a_pack(found->d_name);
    if (open)
        closedir(open);
    return has;
}

static anl_status begin(anl_pack_work *w, const char *plan, anl_diagnostics *diagnostics)
{
    if (sweep(w, w->folder, all_but_lock) != ANL_OK || make_salt(w) != ANL_OK ||
        anl_file_write_atomic(inside(w, "plan"), plan, strlen(plan)) != ANL_OK)
        return cannot(diagnostics, "write", w->folder);
    return ANL_OK;
}

static anl_status go_on(anl_pack_work *w, anl_diagnostics *diagnostics)
{
    w->publishing = exists(inside(w, "publishing"));
    if (read_salt(w) != ANL_OK)
        return cannot(diagnostics, "read", inside(w, "salt"));
    for (int split = 0; split < ANL_SPLITS; split++) {
        anl_pack_part part;
        for (int number = 0; read_part(w, split, number, &part); number++)
            ANL_PUSH(w->arena, w->parts, w->part_count, w->part_capacity, part);
    }
    w->resumed = w->part_count;
    return sweep(w, w->folder, unfinished) == ANL_OK ? ANL_OK : cannot(diagnostics, "write", w->folder);
}

anl_status anl_pack_work_open(anl_arena *arena, const char *out, const char *plan, bool overwrite, int modalities, anl_diagnostics *diagnostics,
                              anl_pack_work *w)
{
    *w = (anl_pack_work){.arena = arena, .out = out, .folder = anl_path_join(arena, out, ".anlage-pack"), .lock = -1, .modalities = modalities};
    if (remove_done(w) != ANL_OK)
        return cannot(diagnostics, "remove", outside(w, ".anlage-pack.done"));
    if (folder_has_pack(out) && !overwrite && !exists(inside(w, "publishing"))) {
        /* Old shards beside new ones would be read as one set. */
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_data_write, (anl_span){.file = out}, "the folder %s holds a pack already", out);
        anl_diagnostic_note(diagnostics, d, "choose another folder, or say --force to replace it");
        return ANL_ERROR_FILE;
    }
    if (anl_folder_make(out) != ANL_OK)
        return cannot(diagnostics, "make the folder", out);
    if (mkdir(w->folder, 0700) != 0 && errno != EEXIST)
        return cannot(diagnostics, "make the folder", w->folder);
    anl_status status = take_lock(w, diagnostics);
    if (status != ANL_OK)
        return status;
    char *then;
    if (anl_file_read(arena, inside(w, "plan"), 0, &then, NULL) != ANL_OK)
        status = begin(w, plan, diagnostics);
    else if (!strcmp(then, plan))
        status = go_on(w, diagnostics);
    else if (overwrite)
        status = begin(w, plan, diagnostics);
    else {
        tell_change(w, then, plan, diagnostics);
        status = ANL_ERROR_FILE;
    }
    if (status != ANL_OK && w->lock >= 0) {
        close(w->lock);
        w->lock = -1;
    }
    return status;
}

const char *anl_pack_work_temporary(const anl_pack_work *w, const char *file) { return anl_arena_printf(w->arena, "%s/%s.unfinished", w->folder, file); }

anl_status anl_pack_work_add(anl_pack_work *w, anl_pack_part *part)
{
    const char *temporary = anl_pack_work_temporary(w, part->file);
    struct stat about;
    if (stat(temporary, &about) != 0 || anl_sha256_file(temporary, part->sha256) != ANL_OK || anl_file_commit(temporary, inside(w, part->file)) != ANL_OK)
        return ANL_ERROR_FILE;
    part->bytes = about.st_size;
    if (write_part(w, part) != ANL_OK)
        return ANL_ERROR_FILE;
    ANL_PUSH(w->arena, w->parts, w->part_count, w->part_capacity, *part);
    return ANL_OK;
}

anl_status anl_pack_work_publish(anl_pack_work *w, const char *manifest, size_t length)
{
    if (!w->publishing && (sweep(w, w->out, goes_from_out) != ANL_OK || anl_file_write_atomic(inside(w, "publishing"), "", 0) != ANL_OK))
        return ANL_ERROR_FILE;
    w->publishing = true;
    for (int i = 0; i < w->part_count; i++)
        if (exists(inside(w, w->parts[i].file)) && rename(inside(w, w->parts[i].file), outside(w, w->parts[i].file)) != 0)
            return ANL_ERROR_FILE;
    /* Made here, so that a kill leaves nothing in OUT; its commit makes the renames before it durable, too. */
    const char *made = inside(w, "manifest.json");
    if (anl_file_write_atomic(made, manifest, length) != ANL_OK || anl_file_commit(made, outside(w, "manifest.json")) != ANL_OK)
        return ANL_ERROR_FILE;
    return remove_folder(w);
}

void anl_pack_work_close(anl_pack_work *w, bool keep)
{
    if (w->lock < 0)
        return;
    if (!keep || (w->part_count == 0 && !w->publishing))
        remove_folder(w); /* what cannot be removed is taken up, or swept away, by the next pack */
    close(w->lock);
    w->lock = -1;
}
