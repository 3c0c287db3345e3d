/* Writing a pack: decoded in parallel, written in order, and gone on with where it was stopped or killed.
 * In: entries with their splits, the layout. Out: shards and the manifest.
 * Where a shard begins depends on the files before it alone, so a rerun makes the same shards from there. */
#include "data/pack.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <anlage/diagnostic_codes.h>

#include "base/config.h"

#define MOST_WARNINGS 50 /* of one kind; the rest are only counted */
#define BLOCK_PER_THREAD 8

/* ---- the plan: all that the shards depend on ---- */

static void plan_sum(anl_text *plan, const void *bytes, size_t length)
{
    uint8_t digest[32];
    char hex[65];
    anl_sha256(bytes, length, digest);
    anl_hex(digest, sizeof digest, hex);
    anl_text_add(plan, hex);
}

static void plan_file(anl_text *plan, const char *path)
{
    struct stat about;
    if (stat(path, &about) == 0)
        anl_text_printf(plan, "%s\t%lld bytes of time %lld.%09ld\n", path, (long long)about.st_size, (long long)about.st_mtim.tv_sec, about.st_mtim.tv_nsec);
    else
        anl_text_printf(plan, "%s\tmissing\n", path);
}

static bool plan_table(const anl_pack_state *p, anl_text *plan, const char *path)
{
    char *bytes;
    size_t length;
    if (path && anl_file_read(p->arena, path, 0, &bytes, &length) != ANL_OK)
        return false;
    if (path)
        plan_sum(plan, bytes, length);
    else
        anl_text_add(plan, "none");
    return true;
}

static anl_status write_plan(const anl_pack_state *p, anl_text *plan)
{
    const anl_pack_options *o = p->options;
    anl_text_printf(plan, "the program\tanlage %s, shards of format %d\n", ANL_VERSION, ANL_SHARD_FORMAT);
    anl_text_printf(plan, "--size\t%dx%dx%d\n", o->size[2], o->size[1], o->size[0]);
    anl_text_printf(plan, "--slices or --volumes\t%s\n", o->form == ANL_PACK_SLICES ? "slices" : o->form == ANL_PACK_VOLUMES ? "volumes" : "neither");
    anl_text_printf(plan, "--axes\t%s\n", o->axes ? o->axes : "not given");
    anl_text_printf(plan, "--first-frame\t%s\n", o->first_frame ? "given" : "not given");
    anl_text_printf(plan, "--spacing\t%g,%g,%g\n", o->spacing[2], o->spacing[1], o->spacing[0]);
    anl_text_printf(plan, "--crop\t%s\n", o->crop_body ? "body" : "none");
    anl_text_printf(plan, "--margin\t%g%s\n", o->margin, o->margin_mm ? "mm" : "");
    anl_text_printf(plan, "--window\t%g,%g\n", o->window[0], o->window[1]);
    anl_text_printf(plan, "--deflate\t%d\n", o->deflate);
    anl_text_printf(plan, "--compress blosc\t%d\n", o->blosc);
    anl_text_printf(plan, "--channels\t%d\n", o->channels);
    anl_text_printf(plan, "--split\tvalid %.17g, test %.17g\n", o->fraction_valid, o->fraction_test);
    anl_text_printf(plan, "--seed\t%" PRIu64 "\n", o->seed);
    anl_text_printf(plan, "--shard-samples\t%d\n", o->shard_samples);
    anl_text_printf(plan, "--patient\t%s\n", o->patient ? o->patient : "not given");
    anl_text_printf(plan, "--stratify\t%s\n", o->stratify ? o->stratify : "not given");
    anl_text_printf(plan, "--modality\t%s\n", o->modality ? o->modality : "not given");
    anl_text_printf(plan, "--duplicates\t%s\n", o->drop_duplicates ? "drop" : "keep");
    anl_text_printf(plan, "--keep-ids\t%s\n", o->keep_ids ? "given" : "not given");
    anl_text_printf(plan, "--anonymous-files\t%s\n", o->anonymous_files ? "given" : "not given");
    anl_text_add(plan, "the SHA-256 of the salt\t");
    if (o->salt)
        plan_sum(plan, p->salt, p->salt_length);
    else
        anl_text_add(plan, "none");
    anl_text_add(plan, "\nthe SHA-256 of the table\t");
    if (!plan_table(p, plan, o->labels))
        return ANL_ERROR_FILE;
    anl_text_add(plan, "\nthe SHA-256 of the table of boxes\t");
    if (!plan_table(p, plan, o->boxes))
        return ANL_ERROR_FILE;
    anl_text_printf(plan, "\nthe number of files\t%d\n", p->entry_count);
    for (int i = 0; i < p->entry_count; i++) {
        const anl_pack_entry *e = &p->entries[i];
        for (int z = 0; z < e->slice_count; z++)
            plan_file(plan, e->slices[z]);
        if (!e->slices && !e->array)
            plan_file(plan, e->path);
    }
    for (int i = 0; i < p->array_count; i++) {
        anl_text_printf(plan, "the array\t%s of %lld\n", p->arrays[i]->path, (long long)p->arrays[i]->count);
        plan_file(plan, p->arrays[i]->file);
    }
    for (int i = 0; i < o->labels_from_count; i++) {
        size_t colon;
        anl_text_printf(plan, "--labels-from\t%s\n", o->labels_from[i]);
        if (anl_array_named(o->labels_from[i], &colon))
            plan_file(plan, anl_arena_copy(p->arena, o->labels_from[i], colon));
    }
    return ANL_OK;
}

/* ---- one shard ---- */

typedef struct output {
    anl_shard_writer *writer; /* NULL: none is begun */
    anl_pack_part part;
} output;

static anl_status cannot_write(anl_pack_state *p, const char *path, const char *reason)
{
    anl_diagnostic *d =
        anl_diagnose(p->diagnostics, ANL_A_data_write, (anl_span){.file = path}, "cannot write %s: %s", path, reason);
    anl_diagnostic_note(p->diagnostics, d, "check the space and the rights of the folder; the same command then goes on after the last finished shard");
    return ANL_ERROR_FILE;
}

static void new_part(anl_pack_state *p, output *out, int split, int number)
{
    out->part = (anl_pack_part){.split = split, .number = number, .file = anl_arena_printf(p->arena, "%s-%05d.h5", anl_split_names[split], number)};
    out->part.histograms = ANL_NEW_ARRAY(p->arena, anl_histogram, p->modality_count);
}

static anl_status commit_shard(anl_pack_state *p, output *out, int64_t next_entry, int next_sample)
{
    char reason[ANL_REASON_SIZE];
    out->part.samples = anl_shard_count(out->writer);
    out->part.next_entry = next_entry;
    out->part.next_sample = next_sample;
    anl_status status = anl_shard_finish(&out->writer, reason);
    if (status == ANL_OK && anl_pack_work_add(&p->work, &out->part) != ANL_OK) {
        snprintf(reason, sizeof reason, "%s", strerror(errno));
        status = ANL_ERROR_FILE;
    }
    if (status != ANL_OK)
        return cannot_write(p, anl_pack_work_temporary(&p->work, out->part.file), reason);
    new_part(p, out, out->part.split, out->part.number + 1);
    return ANL_OK;
}

/* ---- what became of a file ---- */

static void skip(anl_pack_state *p, anl_pack_entry *e, const char *reason)
{
    if (p->skip_count++ < MOST_WARNINGS) {
        anl_span place = e->array ? (anl_span){.file = e->array->file} : e->row >= 0 ? anl_pack_at_row(p, e->row) : (anl_span){.file = e->path};
        if (e->slices)
            anl_diagnose(p->diagnostics, ANL_A_image_skipped, place, "the series of %s is skipped: %s", e->path, reason);
        else
            anl_diagnose(p->diagnostics, ANL_A_image_skipped, place, "%s is skipped: %s", e->array ? e->file : e->path, reason);
    }
    e->left = anl_arena_text(p->arena, reason);
}

static void take(anl_pack_state *p, const anl_pack_taken *t)
{
    anl_pack_entry *e = &p->entries[t->entry];
    if (!e->decoded) {
        e->decoded = true;
        memcpy(e->pixels, t->pixels, sizeof e->pixels);
        memcpy(e->spacing, t->spacing, sizeof e->spacing);
        e->dropped = anl_pack_same(p, e) && p->options->drop_duplicates;
    }
    e->samples += t->samples;
    p->split_samples[anl_pack_split_of(p, e)] += t->samples;
}

/* What a finished shard says of its files is as if they had been decoded now. */
static bool recall(anl_pack_state *p, const anl_pack_part *part)
{
    for (int i = 0; i < part->left_count; i++) {
        if (part->left[i].entry < 0 || part->left[i].entry >= p->entry_count)
            return false;
        skip(p, &p->entries[part->left[i].entry], part->left[i].reason);
    }
    for (int i = 0; i < part->taken_count; i++) {
        if (part->taken[i].entry < 0 || part->taken[i].entry >= p->entry_count)
            return false;
        take(p, &part->taken[i]);
        if ((part->taken[i].samples == 0) != p->entries[part->taken[i].entry].dropped)
            return false;
    }
    return part->next_entry >= 0 && part->next_entry <= p->entry_count && part->next_sample >= 0;
}

/* Sample k of a file: the file's name, and which frame and slice of it, where there are several. */
static const char *sample_name(anl_pack_state *p, const anl_pack_entry *e, const anl_pack_result *r, int k)
{
    const bool volume = p->schema.image.volume;
    const int slices = volume ? 1 : r->depth;
    const char *file = anl_pack_shown(p, e);
    if (r->frames == 1 && slices == 1)
        return file;
    if (slices == 1)
        return anl_arena_printf(p->arena, "%s#t%d", file, k);
    if (r->frames == 1)
        return anl_arena_printf(p->arena, "%s#z%d", file, k);
    return anl_arena_printf(p->arena, "%s#t%dz%d", file, k / slices, k % slices);
}

static anl_status add_sample(anl_pack_state *p, anl_shard_writer *writer, anl_pack_part *part, const anl_pack_entry *e, const anl_pack_result *r, int k, char *reason)
{
    double *numbers = anl_malloc(sizeof *numbers * ((size_t)p->column_count + 1));
    const int first_box = r->box_ends && k > 0 ? r->box_ends[k - 1] : 0, box_count = r->box_ends ? r->box_ends[k] - first_box : 0;
    double *boxes = anl_malloc(sizeof *boxes * ((size_t)box_count * (size_t)p->boxes.column_count + 1));
    for (int b = 0; b < box_count; b++)
        anl_pack_box_numbers(p, &r->boxes[first_box + b], boxes + (size_t)b * (size_t)p->boxes.column_count);
    const char **texts = anl_malloc(sizeof *texts * ((size_t)p->column_count + 1));
    for (int c = 0; c < p->column_count; c++) {
        numbers[c] = p->numbers[c][e->row];
        texts[c] = anl_csv_cell(&p->csv, e->row, p->column_source[c]);
    }
    const size_t bytes = anl_shard_image_bytes(&p->schema.image);
    anl_shard_sample sample = {.stored = r->packed ? r->packed[k] : r->stored + bytes * (size_t)k,
                               .length = r->packed ? r->lengths[k] : bytes,
                               .file = sample_name(p, e, r, k),
                               .patient = p->units[e->unit].stored,
                               .numbers = numbers,
                               .boxes = boxes,
                               .box_count = box_count,
                               .texts = texts,
                               .range = {r->range[k][0], r->range[k][1]},
                               .spacing = {r->spacing[0], r->spacing[1], r->spacing[2]}};
    anl_status status = anl_shard_add(writer, &sample, reason);
    free(numbers);
    free(boxes);
    free(texts);
    part->boxes += box_count;
    part->most_boxes = box_count > part->most_boxes ? box_count : part->most_boxes;
    return status;
}

/* Writes the samples of a decoded file from `first` on; a shard that is full is committed. */
static anl_status write_file(anl_pack_state *p, anl_pack_entry *e, const anl_pack_result *r, int first, int shard_samples, output *out)
{
    const int64_t number = e - p->entries;
    anl_pack_taken taken = {.entry = number};
    memcpy(taken.pixels, r->pixels, sizeof taken.pixels);
    memcpy(taken.spacing, r->spacing, sizeof taken.spacing);
    take(p, &taken);
    if (e->dropped) {
        ANL_PUSH(p->arena, out->part.taken, out->part.taken_count, out->part.taken_capacity, taken);
        return ANL_OK;
    }
    if (first == 0)
        out->part.boxes_outside += r->boxes_outside;
    if (first == 0)
        anl_histogram_add(&out->part.histograms[e->modality], &r->histogram);
    char reason[ANL_REASON_SIZE];
    for (int k = first; k < r->count;) {
        anl_status status = ANL_OK;
        const char *temporary = anl_pack_work_temporary(&p->work, out->part.file);
        if (!out->writer)
            status = anl_shard_create(temporary, &p->schema, anl_split_names[out->part.split], shard_samples, &out->writer, reason);
        taken.samples = 0;
        for (; status == ANL_OK && k < r->count && anl_shard_count(out->writer) < shard_samples; k++, taken.samples++)
            status = add_sample(p, out->writer, &out->part, e, r, k, reason);
        if (status != ANL_OK)
            return cannot_write(p, temporary, reason);
        ANL_PUSH(p->arena, out->part.taken, out->part.taken_count, out->part.taken_capacity, taken);
        e->samples += taken.samples;
        p->split_samples[out->part.split] += taken.samples;
        if (anl_shard_count(out->writer) == shard_samples) {
            status = commit_shard(p, out, k < r->count ? number : number + 1, k < r->count ? k : 0);
            if (status != ANL_OK)
                return status;
        }
    }
    return ANL_OK;
}

/* ---- all of them ---- */

typedef struct block {
    const anl_pack_state *pack;
    anl_pack_entry **entries;
    anl_pack_result *results;
    int size;
} block;

static void decode_one(void *context, int chunk, int thread)
{
    (void)thread;
    const block *b = context;
    anl_pack_decode(b->pack, b->entries[chunk], &b->results[chunk]);
}

static anl_status write_split(anl_pack_state *p, int split, int shard_samples, block *b)
{
    const anl_pack_options *o = p->options;
    output out = {0};
    int64_t next = 0, begun = 0; /* the next file; the one that finished shards hold a part of … */
    int number = 0, first = 0;   /* … and its first sample that they do not hold */
    for (int i = 0; i < p->work.resumed; i++)
        if (p->work.parts[i].split == split) {
            next = begun = p->work.parts[i].next_entry;
            first = p->work.parts[i].next_sample;
            number++;
        }
    p->done -= first > 0; /* its rest is still to be done */
    new_part(p, &out, split, number);
    anl_status status = ANL_OK;
    while (status == ANL_OK) {
        int count = 0;
        for (; next < p->entry_count && count < b->size; next++)
            if (anl_pack_split_of(p, &p->entries[next]) == split)
                b->entries[count++] = &p->entries[next];
        if (count == 0)
            break;
        if (o->stop && o->stop(o->context)) {
            status = ANL_ERROR_STOPPED;
            break;
        }
        anl_parallel(p->pool, count, decode_one, b);
        for (int i = 0; i < count; i++) {
            anl_pack_entry *e = b->entries[i];
            anl_pack_result *r = &b->results[i];
            if (status == ANL_OK && r->status == ANL_OK)
                status = write_file(p, e, r, e - p->entries == begun ? first : 0, shard_samples, &out);
            else if (status == ANL_OK) {
                skip(p, e, r->reason);
                anl_pack_left left = {.entry = e - p->entries, .reason = e->left};
                ANL_PUSH(p->arena, out.part.left, out.part.left_count, out.part.left_capacity, left);
            }
            anl_pack_forget(r);
        }
        p->done += count;
        if (o->progress && status == ANL_OK)
            o->progress(o->context, p->done, p->entry_count);
    }
    if (status == ANL_OK && out.writer)
        status = commit_shard(p, &out, p->entry_count, 0);
    if (out.writer) {
        anl_shard_abandon(&out.writer);
        unlink(anl_pack_work_temporary(&p->work, out.part.file));
    }
    return status;
}

/* Ids of up to four digits are mostly counted off anew in every set: the same one in two packs says nothing. Their hashes show that
 * they were such (see patients.c). */
static void name_patients(anl_pack_state *p)
{
    for (int u = 0; u < p->unit_count; u++) {
        anl_pack_unit *unit = &p->units[u];
        if (!unit->patient)
            continue;
        unit->stored = unit->name;
        if (p->options->keep_ids)
            continue;
        uint8_t digest[32];
        char hex[2 * 8 + 1];
        anl_hmac_sha256(p->salt, p->salt_length, unit->name, strlen(unit->name), digest);
        anl_hex(digest, 8, hex);
        unit->stored = anl_arena_printf(p->arena, "%c%s", anl_patient_counted_off(unit->name) ? 'n' : 'p', hex);
    }
}

/* A hash hides nothing that the name of the file tells. */
static void judge_names(const anl_pack_state *p)
{
    int64_t telling = 0;
    const anl_pack_entry *first = NULL;
    for (int i = 0; i < p->entry_count && !p->options->keep_ids && !p->options->anonymous_files; i++) {
        const anl_pack_entry *e = &p->entries[i];
        const anl_pack_unit *unit = &p->units[e->unit];
        if (!unit->patient || strlen(unit->name) < 3 || !strstr(e->file, unit->name))
            continue;
        telling++;
        first = first ? first : e;
    }
    if (telling == 0)
        return;
    anl_diagnostic *d = anl_diagnose(p->diagnostics, ANL_A_ids_in_names, (anl_span){.file = first->path},
                                     "at least %lld of the %d file names hold%s the id of the patient, and names of files are stored: %s",
                                     (long long)telling, p->entry_count, telling == 1 ? "s" : "", first->file);
    anl_diagnostic_suggest(p->diagnostics, d, "--anonymous-files stores numbers instead; --keep-ids says that the ids are no secret");
}

static anl_status finish_pack(anl_pack_state *p, anl_pack_report *report)
{
    report->skipped = p->skip_count;
    for (int s = 0; s < ANL_SPLITS; s++)
        report->packed += p->split_samples[s];
    report->train = p->split_samples[0];
    report->valid = p->split_samples[1];
    report->test = p->split_samples[2];
    report->shards = p->work.part_count;
    report->resumed = p->work.resumed;
    if (p->skip_count > MOST_WARNINGS)
        anl_diagnose(p->diagnostics, ANL_A_image_skipped, (anl_span){0}, "%d more images are skipped; manifest.json lists all",
                     p->skip_count - MOST_WARNINGS);
    if (report->packed == 0) {
        anl_diagnose(p->diagnostics, ANL_A_data_too_small, (anl_span){.file = p->options->labels}, "none of the %d images could be read",
                     p->entry_count);
        return ANL_ERROR_FORMAT;
    }
    const anl_pack_groups groups = anl_pack_find_groups(p);
    for (int g = 0, at = 0; g < groups.count; at = groups.ends[g++])
        report->repeated += groups.ends[g] - at - 1;
    for (int i = 0; i < p->entry_count; i++)
        report->dropped += p->entries[i].dropped;
    for (int i = 0; i < p->work.part_count; i++) {
        const anl_pack_part *part = &p->work.parts[i];
        report->boxes += part->boxes;
        report->boxes_outside += part->boxes_outside;
        report->most_boxes = part->most_boxes > report->most_boxes ? part->most_boxes : report->most_boxes;
    }
    if (p->boxes.csv.columns > 0)
        anl_pack_judge_boxes(p, report->boxes_outside);
    anl_pack_judge_groups(p, &groups);
    judge_names(p);
    anl_text text = {0};
    anl_pack_manifest_text(p, report, &groups, &text);
    anl_status status = anl_pack_work_publish(&p->work, text.data, text.length);
    if (status != ANL_OK)
        cannot_write(p, p->options->out, strerror(errno));
    anl_text_free(&text);
    return status;
}

anl_status anl_pack_write(anl_pack_state *p, anl_pack_report *report)
{
    const anl_pack_options *o = p->options;
    anl_text plan = {0};
    anl_status status = write_plan(p, &plan);
    if (status != ANL_OK)
        anl_diagnose(p->diagnostics, ANL_A_labels_invalid, (anl_span){.file = o->labels}, "cannot read %s again: %s", o->labels, strerror(errno));
    else
        status = anl_pack_work_open(p->arena, o->out, plan.data, o->overwrite, p->modality_count, p->diagnostics, &p->work);
    anl_text_free(&plan);
    if (status != ANL_OK)
        return status;
    if (!o->salt) {
        p->salt = p->work.salt;
        p->salt_length = sizeof p->work.salt;
    }
    name_patients(p);
    for (int i = 0; i < p->work.resumed && status == ANL_OK; i++)
        if (!recall(p, &p->work.parts[i]))
            status = cannot_write(p, p->work.folder, "what it says of finished shards is damaged; remove it to begin anew");
    for (int i = 0; i < p->entry_count; i++)
        p->done += p->entries[i].samples > 0 || p->entries[i].dropped || p->entries[i].left;
    if (o->progress && status == ANL_OK)
        o->progress(o->context, p->done, p->entry_count);
    block b = {.pack = p, .size = anl_pool_threads(p->pool) * BLOCK_PER_THREAD};
    b.entries = ANL_NEW_ARRAY(p->arena, anl_pack_entry *, b.size);
    b.results = ANL_NEW_ARRAY(p->arena, anl_pack_result, b.size);
    for (int s = 0; s < ANL_SPLITS && status == ANL_OK; s++)
        status = write_split(p, s, o->shard_samples > 0 ? o->shard_samples : 1024, &b);
    if (status == ANL_OK)
        status = finish_pack(p, report);
    report->shards = p->work.part_count;
    report->resumed = p->work.resumed;
    anl_pack_work_close(&p->work, status == ANL_ERROR_STOPPED || status == ANL_ERROR_FILE);
    return status;
}
