/* Judging a spec against shards: whether they have what its fields want, and whether its splits share patients.
 * In: `--data`. Out: diagnostics; a summary for the rules of modality.c.
 * Shards are only opened where they are named: without `--data` no file is looked at. */
#include "lint/data.h"

#include <glob.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include <anlage/dataset.h>
#include <anlage/diagnostic_codes.h>

#include "data/patients.h"
#include "data/shard.h"

enum { PATIENTS_AT_ONCE = 1 << 19 };

static const char *const split_names[ANL_SPLITS] = {"train", "valid", "test"};
static const char *const split_words[ANL_SPLITS] = {"training", "validation", "test"};

typedef struct given {
    const anl_lint_pass *pass;
    const char **paths, **splits; /* and the split that each says it is of, or NULL */
    int count, capacity;
    anl_lint_data *data;
} given;

/* Where the spec names the shards of a split, or else the spec itself. */
static anl_span split_span(const anl_recipe *recipe, int split, bool *own)
{
    for (int i = 0; i < recipe->source_count; i++) {
        const anl_source *s = &recipe->sources[i];
        if (strcmp(s->name, split_names[split]))
            continue;
        *own = true;
        return s->shards && s->shards->span.line ? s->shards->span : s->span;
    }
    *own = false;
    return recipe->span;
}

/* ---- which files ---- */

/* Every field must be found in every shard; the list of shards goes on also where one is not. Of a spec that mixes sources, the given
 * are sources, too: a label may be missing in some. */
static void list_shards(given *g)
{
    const anl_lint_pass *pass = g->pass;
    const anl_field *fields = anl_trace_fields(pass->facts, pass->arena);
    const bool mixture = pass->facts->part_count[0] > 0;
    anl_dataset_source *sources = ANL_NEW_ARRAY(pass->arena, anl_dataset_source, pass->options->data_count);
    int found = 0;
    bool own;
    for (int i = 0; i < pass->options->data_count; i++) {
        anl_dataset_options options = {
            .pattern = pass->options->data[i], .span = split_span(pass->recipe, 0, &own), .label_fraction = 1};
        anl_dataset *set = NULL;
        if (anl_dataset_open(&options, NULL, 0, pass->diagnostics, &set) != ANL_OK)
            continue;
        const char *path;
        for (int k = 0; (path = anl_dataset_shard(set, k)); k++)
            ANL_PUSH(pass->arena, g->paths, g->count, g->capacity, anl_arena_text(pass->arena, path));
        anl_dataset_free(&set);
        sources[found++] = (anl_dataset_source){.name = options.pattern, .pattern = options.pattern, .weight = 1, .span = options.span};
        if (!mixture && anl_dataset_open(&options, fields, pass->facts->field_count, pass->diagnostics, &set) == ANL_OK)
            anl_dataset_free(&set);
    }
    anl_dataset_options all = {.sources = sources, .source_count = found, .span = split_span(pass->recipe, 0, &own), .label_fraction = 1};
    anl_dataset *set = NULL;
    if (mixture && found && anl_dataset_open(&all, fields, pass->facts->field_count, pass->diagnostics, &set) == ANL_OK)
        anl_dataset_free(&set);
}

/* ---- what they hold ---- */

static void add_facts(given *g, int i, const anl_shard *shard, const anl_shard_facts *f)
{
    anl_lint_data *d = g->data;
    const anl_modality *modality = f->modality ? anl_modality_find(f->modality) : NULL;
    if (i == 0) {
        *d = (anl_lint_data){.shard = g->paths[0],
                             .modality = modality,
                             .low = f->low,
                             .high = f->high,
                             .unit = anl_arena_text(g->pass->arena, shard->unit)};
        memcpy(d->least_spacing, f->least_spacing, sizeof d->least_spacing);
        memcpy(d->greatest_spacing, f->greatest_spacing, sizeof d->greatest_spacing);
    }
    d->modality = modality == d->modality ? modality : NULL;
    d->low = fmin(d->low, f->low);
    d->high = fmax(d->high, f->high);
    d->nominal |= shard->image.values == ANL_VALUES_RELATIVE;
    d->bits = shard->image.bits > d->bits ? shard->image.bits : d->bits;
    d->unit = strcmp(d->unit, shard->unit) ? "" : d->unit;
    for (int a = 0; a < 3; a++) {
        bool known = d->greatest_spacing[a] > 0 && f->greatest_spacing[a] > 0;
        d->least_spacing[a] = known ? fmin(d->least_spacing[a], f->least_spacing[a]) : 0;
        d->greatest_spacing[a] = known ? fmax(d->greatest_spacing[a], f->greatest_spacing[a]) : 0;
    }
    if (!d->inverted && f->photometric && !strcmp(f->photometric, "MONOCHROME1"))
        d->inverted = g->paths[i];
    if (!d->unscaled && f->rescale_known && (f->rescale_slope != 1 || f->rescale_intercept != 0) && shard->image.scale != 0) {
        d->unscaled = g->paths[i];
        d->slope = f->rescale_slope / shard->image.scale;
        d->intercept = f->rescale_intercept - d->slope * shard->image.offset;
    }
}

static bool read_facts(given *g)
{
    const anl_lint_pass *pass = g->pass;
    g->splits = ANL_NEW_ARRAY(pass->arena, const char *, g->count + 1);
    for (int i = 0; i < g->count; i++) {
        anl_shard shard;
        anl_shard_facts facts = {0};
        char reason[ANL_REASON_SIZE];
        anl_hdf5_lock();
        anl_status status = anl_shard_open(g->paths[i], &shard, reason);
        if (status == ANL_OK) {
            status = anl_shard_read_facts(&shard, pass->arena, &facts, reason);
            if (status == ANL_OK)
                add_facts(g, i, &shard, &facts);
            anl_shard_close(&shard);
        }
        anl_hdf5_unlock();
        if (status != ANL_OK) {
            bool own;
            anl_diagnose(pass->diagnostics, ANL_A_shard_invalid, split_span(pass->recipe, 0, &own), "cannot read the shard %s: %s",
                         g->paths[i], reason);
            return false;
        }
        g->splits[i] = facts.split;
    }
    return g->count > 0;
}

/* ---- patients ---- */

/* A file whatever its name; NULL: there is none. */
static const char *identity(anl_arena *arena, const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return NULL;
    return anl_arena_printf(arena, "%llx:%llx", (unsigned long long)about.st_dev, (unsigned long long)about.st_ino);
}

/* The given shards that the spec reads for a split are of it. False: it reads none of them. */
static bool mark_split(const given *g, const anl_lookup *places, int split)
{
    const anl_lint_pass *pass = g->pass;
    const char *pattern = pass->facts->shards[split];
    glob_t found = {0};
    bool any = false;
    if (pattern && *pattern && glob(pattern, GLOB_NOSORT | GLOB_BRACE, NULL, &found) == 0)
        for (size_t f = 0; f < found.gl_pathc; f++) {
            const char *who = identity(pass->arena, found.gl_pathv[f]);
            anl_split_shard *shard = who ? anl_lookup_find(places, who) : NULL;
            if (!shard)
                continue;
            any = true;
            if (shard->split >= 0) {
                bool own;
                anl_diagnostic *d =
                    anl_diagnose(pass->diagnostics, ANL_A_patient_in_two_splits, split_span(pass->recipe, split, &own),
                                 "%s is read for %s and for %s", shard->path, split_words[shard->split], split_words[split]);
                anl_diagnostic_label(pass->diagnostics, d, split_span(pass->recipe, shard->split, &own), "%s reads it here",
                                     split_words[shard->split]);
            } else
                shard->split = split;
        }
    globfree(&found);
    return any;
}

static void report_shared(const anl_lint_pass *pass, const anl_split_shard *shards, const anl_shared_patients *s)
{
    bool first_own, second_own;
    anl_span first = split_span(pass->recipe, s->split[0], &first_own),
             second = split_span(pass->recipe, s->split[1], &second_own);
    anl_diagnostic *d = anl_diagnose(pass->diagnostics, s->one_pack ? ANL_A_patient_in_two_splits : ANL_A_patient_in_two_packs,
                                     second, "%lld patient%s both in %s and in %s", (long long)s->count,
                                     s->count == 1 ? " is" : "s are", split_words[s->split[0]], split_words[s->split[1]]);
    if (first_own && second_own)
        anl_diagnostic_label(pass->diagnostics, d, first, "%s is read from here", split_words[s->split[0]]);
    for (int i = 0; i < s->count && i < ANL_PATIENTS_SHOWN; i++)
        anl_diagnostic_note(pass->diagnostics, d, "patient `%s` is in %s and in %s", s->names[i], shards[s->shards[i][0]].path,
                            shards[s->shards[i][1]].path);
    if (s->count > ANL_PATIENTS_SHOWN)
        anl_diagnostic_note(pass->diagnostics, d, "and %lld more", (long long)(s->count - ANL_PATIENTS_SHOWN));
    anl_diagnostic_note(pass->diagnostics, d,
                        s->split[0] == 0 ? "what the network remembers of a patient makes the %s look better than it is"
                                         : "what was chosen to fit a patient in validation makes the %s look better than it is",
                        split_words[s->split[1]]);
    if (s->one_pack)
        anl_diagnostic_suggest(pass->diagnostics, d,
                               "pack all images in one go: `anlage pack` keeps a patient's images in one split");
    else
        anl_diagnostic_suggest(
            pass->diagnostics, d,
            "pack both collections in one go; where the two number different people alike, say so: `# lint: allow A%04d "
            "because <reason>`",
            ANL_A_patient_in_two_packs);
}

static void check_patients(const given *g)
{
    const anl_lint_pass *pass = g->pass;
    anl_split_shard *shards = ANL_NEW_ARRAY(pass->arena, anl_split_shard, g->count);
    anl_lookup packs = {0}, places = {0};
    for (int i = 0; i < g->count; i++) {
        const char *slash = strrchr(g->paths[i], '/'), *who = identity(pass->arena, g->paths[i]);
        const char *folder = anl_arena_copy(pass->arena, g->paths[i], slash ? (size_t)(slash - g->paths[i]) : 0);
        intptr_t pack = (intptr_t)anl_lookup_find(&packs, folder);
        if (!pack) {
            pack = packs.count + 1;
            anl_lookup_add(pass->arena, &packs, folder, (void *)pack);
        }
        shards[i] = (anl_split_shard){.path = g->paths[i], .split = -1, .pack = (int)pack};
        if (who && !anl_lookup_find(&places, who))
            anl_lookup_add(pass->arena, &places, who, &shards[i]);
    }
    bool read[ANL_SPLITS];
    for (int s = 0; s < ANL_SPLITS; s++)
        read[s] = mark_split(g, &places, s);
    for (int i = 0; i < g->count; i++) /* of a split for which the spec reads none: those that say so themselves */
        for (int s = 0; shards[i].split < 0 && g->splits[i] && s < ANL_SPLITS; s++)
            if (!read[s] && !strcmp(g->splits[i], split_names[s]))
                shards[i].split = s;
    anl_shared_patients *shared;
    int count;
    char reason[ANL_REASON_SIZE];
    if (anl_patients_shared(shards, g->count, PATIENTS_AT_ONCE, pass->arena, &shared, &count, reason) != ANL_OK) {
        bool own;
        anl_diagnose(pass->diagnostics, ANL_A_shard_invalid, split_span(pass->recipe, 0, &own), "cannot read the patients of %s",
                     reason);
        return;
    }
    for (int i = 0; i < count; i++)
        report_shared(pass, shards, &shared[i]);
}

const anl_lint_data *anl_lint_read_data(const anl_lint_pass *pass)
{
    if (!pass->options->data_count || !pass->facts)
        return NULL;
    given g = {.pass = pass, .data = ANL_NEW(pass->arena, anl_lint_data)};
    list_shards(&g);
    if (!read_facts(&g))
        return NULL;
    check_patients(&g);
    return g.data;
}
