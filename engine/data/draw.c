/* Which sample comes at which place of training: sources by weight, values of a label evenly.
 * In: an opened data set, an epoch and a place in it. Out: the number of a sample, the same at every call; nothing is remembered.
 * An epoch's places are dealt out to strata by a seeded bijection; a stratum goes through its samples by bijections of its own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "data/set.h"

/* Values beyond these are no classes. */
enum { MOST_VALUES = 256 };

/* ---- drawing ---- */

int64_t anl_dataset_draw(const anl_dataset *d, int64_t epoch, int64_t place, uint64_t seed)
{
    int64_t at = anl_order(place, d->count, anl_hash(&epoch, sizeof epoch, seed));
    int low = 0, high = d->stratum_count - 1;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (d->strata[middle].before <= at)
            low = middle;
        else
            high = middle - 1;
    }
    const anl_stratum *s = &d->strata[low];
    int64_t index = at - s->before;
    if (s->quota != s->count) { /* else each comes once an epoch, and the places are in random order already */
        const int64_t drawn = epoch * s->quota + index, key[2] = {drawn / s->count, low};
        index = anl_order(drawn % s->count, s->count, anl_hash(key, sizeof key, seed));
    }
    return s->members ? s->members[index] : s->first + index;
}

/* ---- strata ---- */

/* The values of one source, by which its samples are told apart; 0 stands for those without one. */
typedef struct classes {
    int count;
    double value[MOST_VALUES + 1];
    const char *word[MOST_VALUES + 1];
    int64_t samples[MOST_VALUES + 1];
} classes;

/* Returns MOST_VALUES + 1 where there are too many. */
static int class_of(anl_arena *arena, classes *c, double value, const char *word)
{
    for (int k = 1; k < c->count; k++)
        if (word ? !strcmp(c->word[k], word) : c->value[k] == value)
            return k;
    if (c->count > MOST_VALUES)
        return MOST_VALUES + 1;
    c->value[c->count] = value;
    c->word[c->count] = word ? anl_arena_text(arena, word) : NULL;
    return c->count++;
}

/* The classes of the samples of one shard of a source; first, end: its samples in the set. */
static anl_status classify(anl_dataset *d, int shard, const char *column, const anl_set_field *f, int64_t first, int64_t end, classes *c,
                           uint16_t *class, char *reason)
{
    anl_set_handle *h;
    double *values = NULL;
    char **words = NULL;
    size_t word_count;
    anl_hdf5_lock();
    anl_status status = anl_set_handle_of(d, shard, anl_set_shard_samples(d, shard), &h, reason);
    if (status == ANL_OK)
        status = anl_shard_labels(&h->file, column, &values, &words, &word_count, reason);
    anl_hdf5_unlock();
    for (int64_t i = first; i < end && status == ANL_OK; i++) {
        int64_t raw = d->kept ? d->kept[i] : i;
        double value = values[raw - d->shards[shard].first];
        bool missing = isnan(value) || !anl_set_known(d, raw) ||
                       (f && f->declared.has_missing && (float)value == (float)f->declared.missing);
        int k = missing ? 0 : class_of(d->arena, c, value, words ? words[(size_t)value] : NULL);
        if (k > MOST_VALUES)
            status = anl_scan_refuse(reason, ANL_ERROR_SPEC, "`%.120s` has more than %d values", column, MOST_VALUES);
        else {
            class[i] = (uint16_t)k;
            c->samples[k]++;
        }
    }
    free(values);
    free(words);
    return status;
}

static void add_stratum(anl_dataset *d, int *capacity, anl_stratum stratum)
{
    if (stratum.count > 0)
        ANL_PUSH(d->arena, d->strata, d->stratum_count, *capacity, stratum);
}

/* A source by the values of a column: lists of its samples. */
static anl_status balance(anl_dataset *d, const anl_set_source *source, const char *column, double share, uint16_t *class, int *capacity,
                          anl_span span, anl_diagnostics *diagnostics)
{
    const anl_set_field *field = NULL; /* whose word on missing values counts */
    for (int f = 0; f < d->field_count && !field; f++)
        if (d->fields[f].boxes == 0 && anl_set_has_name(column, d->fields[f].columns, d->fields[f].column_count))
            field = &d->fields[f];
    classes *c = anl_malloc(sizeof *c);
    memset(c, 0, sizeof *c);
    c->count = 1;
    char reason[ANL_REASON_SIZE];
    anl_status status = ANL_OK;
    const int64_t end = source->first + source->count;
    int64_t at = source->first;
    for (int s = source->first_shard; s < source->first_shard + source->shard_count && status == ANL_OK; s++) {
        int64_t first = at, next = d->shards[s].first + anl_set_shard_samples(d, s);
        while (at < end && (d->kept ? d->kept[at] : at) < next)
            at++;
        if (at == first)
            continue;
        status = classify(d, s, column, field, first, at, c, class, reason);
        if (status == ANL_ERROR_SPEC) {
            anl_diagnostic *problem = anl_diagnose(diagnostics, ANL_A_field_mismatch, span, "the data cannot be balanced: %s", reason);
            anl_diagnostic_note(diagnostics, problem, "balance is for classes: take a column of few values");
        } else if (status != ANL_OK)
            anl_set_report(diagnostics, status, span, "cannot read the labels of", d->shards[s].path, reason);
    }
    if (status == ANL_OK) {
        int present = c->count - 1;
        double known = present ? 1 - (double)c->samples[0] / (double)source->count : 0;
        int64_t start[MOST_VALUES + 1], next = source->first;
        for (int k = 0; k < c->count; k++) {
            start[k] = next;
            add_stratum(d, capacity, (anl_stratum){.count = c->samples[k], .members = d->members + next,
                                                   .share = share * (k ? known / present : 1 - known)});
            next += c->samples[k];
        }
        for (int64_t i = source->first; i < end; i++)
            d->members[start[class[i]]++] = (uint32_t)i;
    }
    free(c);
    return status;
}

/* Shares become whole numbers of places that add up to all. */
static anl_status deal(anl_dataset *d, anl_span span, anl_diagnostics *diagnostics)
{
    double share = 0;
    int64_t before = 0;
    for (int k = 0; k < d->stratum_count; k++) {
        share += d->strata[k].share;
        int64_t next = k + 1 == d->stratum_count ? d->count : (int64_t)floor(share * (double)d->count + 0.5);
        d->strata[k].before = before;
        d->strata[k].quota = next - before;
        before = next;
        if (d->strata[k].quota > 0)
            continue;
        anl_diagnostic *problem = anl_diagnose(diagnostics, ANL_A_out_of_range, span,
                                               "%lld samples would be drawn less than once in an epoch of %lld: their share is %.3g",
                                               (long long)d->strata[k].count, (long long)d->count, d->strata[k].share);
        anl_diagnostic_note(diagnostics, problem, "give their source a larger weight, or leave it out");
        return ANL_ERROR_SPEC;
    }
    return ANL_OK;
}

/* Where the samples of each source are in the set, which may have left out some of the shards'. */
static void place_sources(anl_dataset *d)
{
    int64_t at = 0;
    for (int s = 0; s < d->source_count; s++) {
        anl_set_source *source = &d->sources[s];
        int last = source->first_shard + source->shard_count - 1;
        int64_t end = d->shards[last].first + anl_set_shard_samples(d, last);
        source->first = at;
        if (d->kept)
            while (at < d->count && d->kept[at] < end)
                at++;
        else
            at = end;
        source->count = at - source->first;
    }
}

anl_status anl_set_stratify(anl_dataset *d, const anl_dataset_options *options, anl_diagnostics *diagnostics)
{
    place_sources(d);
    const char *column = options->balance;
    const anl_span span = column ? options->balance_span : options->span;
    double weights = 0;
    bool found = false;
    for (int s = 0; s < d->source_count; s++) {
        weights += d->sources[s].count ? d->sources[s].weight : 0; /* what has no samples left is not drawn */
        found = found || (column && anl_set_has_name(column, d->sources[s].names, d->sources[s].name_count));
    }
    uint16_t *class = NULL;
    anl_status status = ANL_OK;
    if (column && !found) {
        anl_diagnostic *problem = anl_diagnose(diagnostics, ANL_A_field_mismatch, span, "no column `%s` to balance by", column);
        anl_set_suggest_column(diagnostics, problem, column, d->sources[0].names, d->sources[0].name_count);
        return ANL_ERROR_SPEC;
    }
    if (column) {
        class = d->count <= UINT32_MAX ? malloc(sizeof *class * (size_t)(d->count + 1)) : NULL;
        d->members = class ? malloc(sizeof *d->members * (size_t)(d->count + 1)) : NULL;
        if (!d->members) {
            anl_diagnose(diagnostics, ANL_A_device_memory, span, "not enough memory to balance %lld samples", (long long)d->count);
            status = ANL_ERROR_MEMORY;
        }
    }
    int capacity = 0;
    for (int s = 0; s < d->source_count && status == ANL_OK; s++) {
        const anl_set_source *source = &d->sources[s];
        double share = weights > 0 ? source->weight / weights : 1;
        if (column && anl_set_has_name(column, source->names, source->name_count))
            status = balance(d, source, column, share, class, &capacity, span, diagnostics);
        else
            add_stratum(d, &capacity, (anl_stratum){.first = source->first, .count = source->count, .share = share});
    }
    free(class);
    return status == ANL_OK ? deal(d, span, diagnostics) : status;
}
