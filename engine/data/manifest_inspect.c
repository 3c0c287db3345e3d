/* A pack for people: what its manifest says, in tables, and whether its shards are still what was packed.
 * In: a folder with manifest.json. Out: lines of text; problems. */
#include <anlage/dataset.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "base/folders.h"
#include "data/histogram.h"
#include "data/json_reader.h"

enum { WIDTH = 100, MOST_SHOWN = 10, MOST_SHOWN_VALUES = 24, MOST_SHARDS = 24 };
static const char *const splits[] = {"train", "valid", "test"};

/* Words of a list, with commas, in lines under each other. */
static void wrap(FILE *out, int *column, const char *text)
{
    const int length = (int)strlen(text);
    if (*column > 0 && 13 + *column + 2 + length > WIDTH) {
        fputs(",\n             ", out);
        *column = 0;
    }
    *column += fprintf(out, "%s%s", *column > 0 ? ", " : "", text);
}

static void show_options(const anl_json_value *options, anl_arena *arena, FILE *out)
{
    int column = 0;
    fputs("  options    ", out);
    for (const anl_json_value *o = options ? options->first : NULL; o; o = o->next) {
        const char *text = o->text;
        for (const anl_json_value *e = o->first; e; e = e->next)
            text = text ? anl_arena_printf(arena, "%s x %s", text, e->text) : e->text;
        wrap(out, &column, anl_arena_printf(arena, "%s: %s", o->key, text ? text : ""));
    }
    fputs("\n", out);
}

static void show_splits(const anl_json_value *counts, const char *name, FILE *out)
{
    fprintf(out, "  %-24s", name);
    for (size_t s = 0; s < ANL_COUNT(splits); s++)
        fprintf(out, "%12.0f", anl_json_number_of(counts, splits[s]));
    fputs("\n", out);
}

static void show_columns(const anl_json_value *m, anl_arena *arena, FILE *out)
{
    fprintf(out, "\n  %-24s%12s%12s%12s\n", "samples", splits[0], splits[1], splits[2]);
    show_splits(anl_json_child(m, "samples"), "all", out);
    if (anl_json_child(m, "boxes"))
        show_splits(anl_json_child(m, "boxes"), "boxes in them", out);
    const anl_json_value *columns = anl_json_child(m, "columns");
    for (const anl_json_value *c = columns ? columns->first : NULL; c; c = c->next) {
        const char *name = anl_json_text_of(c, "name"), *kind = anl_json_text_of(c, "kind");
        const anl_json_value *counts = anl_json_child(c, "counts"), *missing = anl_json_child(c, "missing");
        int values = 0;
        for (const anl_json_value *v = counts ? counts->first : NULL; v; v = v->next)
            values++;
        if (!counts && anl_json_child(c, "least"))
            fprintf(out, "  %s: %s to %s\n", name, anl_json_text_of(c, "least"), anl_json_text_of(c, "greatest"));
        else if (values > MOST_SHOWN_VALUES)
            fprintf(out, "  %s: %d different %s; manifest.json counts them\n", name, values, kind);
        else
            fprintf(out, "  %s%s\n", name, !strcmp(kind, "text") ? ": text" : "");
        for (const anl_json_value *v = counts && values <= MOST_SHOWN_VALUES ? counts->first : NULL; v; v = v->next)
            show_splits(v, anl_arena_printf(arena, "  %s", anl_json_text_of(v, "value")), out);
        double gone = 0;
        for (size_t s = 0; s < ANL_COUNT(splits); s++)
            gone += anl_json_number_of(missing, splits[s]);
        if (gone > 0)
            show_splits(missing, "  (missing)", out);
    }
}

/* A count, whatever stands there. */
static int64_t count_of(const anl_json_value *v) { return v ? (int64_t)fmin(fmax(v->number, 0), 1e15) : 0; }

static void show_histogram(const anl_json_value *h, const char *values, FILE *out)
{
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    const anl_histogram_axis axis = {anl_json_number_of(h, "from"), anl_json_number_of(h, "to"), !strcmp(anl_json_text_of(h, "bins"), "octaves")};
    anl_histogram counts = {.below = count_of(anl_json_child(h, "below")), .above = count_of(anl_json_child(h, "above"))};
    const anl_json_value *list = anl_json_child(h, "counts"), *v = list ? list->first : NULL;
    int64_t most = 1;
    for (int b = 0; b < ANL_HISTOGRAM_BINS && v; b++, v = v->next) {
        counts.bins[b] = count_of(v);
        most = counts.bins[b] > most ? counts.bins[b] : most;
    }
    const double total = (double)anl_histogram_total(&counts);
    const char *modality = anl_json_text_of(h, "modality");
    fprintf(out, "\n  values%s%s, %s: median %.4g, 5 %% below %.4g, 5 %% above %.4g\n  %10.4g |", !strcmp(modality, "unknown") ? "" : " of ",
            !strcmp(modality, "unknown") ? "" : modality, values,
            anl_histogram_quantile(&counts, axis, 0.5), anl_histogram_quantile(&counts, axis, 0.05), anl_histogram_quantile(&counts, axis, 0.95), axis.from);
    for (int b = 0; b < ANL_HISTOGRAM_BINS; b++) /* by roots, so that what is rare is seen, too */
        fputs(blocks[(int)ceil(8 * sqrt((double)counts.bins[b] / (double)most))], out);
    fprintf(out, "| %.4g", axis.to);
    if (counts.below > 0 || counts.above > 0)
        fprintf(out, "; %.2g %% below, %.2g %% above", 100 * (double)counts.below / total, 100 * (double)counts.above / total);
    fputs("\n", out);
}

static void show_spacing(const anl_json_value *spacing, FILE *out)
{
    if (!spacing || !spacing->first)
        return;
    fprintf(out, "\n  %-24s%12s%12s%12s\n", "spacing, mm", "least", "median", "greatest");
    for (const anl_json_value *a = spacing->first; a; a = a->next)
        fprintf(out, "    %-22s%12.4g%12.4g%12.4g\n", a->key, anl_json_number_of(a, "least"), anl_json_number_of(a, "median"), anl_json_number_of(a, "greatest"));
}

static void show_shards(const anl_json_value *shards, FILE *out)
{
    fprintf(out, "\n  %-24s%12s%12s  %s\n", "shard", "samples", "bytes", "sha256");
    int count = 0;
    for (const anl_json_value *s = shards ? shards->first : NULL; s; s = s->next)
        if (count++ < MOST_SHARDS)
            fprintf(out, "  %-24s%12.0f%12.0f  %.16s…\n", anl_json_text_of(s, "file"), anl_json_number_of(s, "samples"), anl_json_number_of(s, "bytes"),
                    anl_json_text_of(s, "sha256"));
    if (count > MOST_SHARDS)
        fprintf(out, "  … and %d more; manifest.json lists them\n", count - MOST_SHARDS);
}

static void show_identical(const anl_json_value *groups, FILE *out)
{
    int count = 0;
    for (const anl_json_value *g = groups ? groups->first : NULL; g; g = g->next) {
        if (count == 0)
            fputs("\n  files with the same pixels\n", out);
        if (count++ >= MOST_SHOWN)
            continue;
        for (const anl_json_value *f = g->first; f; f = f->next)
            fprintf(out, "%s%s (%s%s)", f == g->first ? "    " : " = ", anl_json_text_of(f, "file"), anl_json_text_of(f, "split"),
                    anl_json_child(f, "dropped") ? ", dropped" : "");
        fputs("\n", out);
    }
    if (count > MOST_SHOWN)
        fprintf(out, "    … and %d more; manifest.json lists them\n", count - MOST_SHOWN);
}

static void show_skipped(const anl_json_value *skipped, FILE *out)
{
    int count = 0;
    for (const anl_json_value *s = skipped ? skipped->first : NULL; s; s = s->next) {
        if (count == 0)
            fputs("\n  skipped\n", out);
        if (count++ < MOST_SHOWN)
            fprintf(out, "    %s: %s\n", anl_json_text_of(s, "file"), anl_json_text_of(s, "reason"));
    }
    if (count > MOST_SHOWN)
        fprintf(out, "    … and %d more; manifest.json lists them\n", count - MOST_SHOWN);
}

static void show(const char *path, const anl_json_value *m, anl_arena *arena, FILE *out)
{
    fprintf(out, "%s\n", path);
    fprintf(out, "  tool       %s, seed %s\n", anl_json_text_of(m, "tool"), anl_json_text_of(m, "seed"));
    show_options(anl_json_child(m, "options"), arena, out);
    fprintf(out, "  files      %.0f, packed as %.0f samples", anl_json_number_of(m, "images"), anl_json_number_of(m, "packed"));
    if (anl_json_number_of(m, "patients") > 0)
        fprintf(out, ", %.0f patients", anl_json_number_of(m, "patients"));
    if (anl_json_number_of(m, "repeated") > 0)
        fprintf(out, "; %.0f have the pixels of another (%.0f dropped)", anl_json_number_of(m, "repeated"), anl_json_number_of(m, "dropped"));
    const double offset = anl_json_number_of(m, "offset");
    fprintf(out, "\n  stored     %s of %.0f bits: stored * %.9g %c %.9g is %s", anl_json_text_of(m, "type"), anl_json_number_of(m, "bits"),
            anl_json_number_of(m, "scale"), offset < 0 ? '-' : '+', fabs(offset), anl_json_text_of(m, "values"));
    if (anl_json_child(m, "depths"))
        fprintf(out, "; %s", anl_json_text_of(m, "depths"));
    fputs("\n", out);
    if (anl_json_child(m, "modality"))
        fprintf(out, "  modality   %s\n", anl_json_text_of(m, "modality"));
    show_columns(m, arena, out);
    const anl_json_value *histograms = anl_json_child(m, "histograms");
    for (const anl_json_value *h = histograms ? histograms->first : NULL; h; h = h->next)
        show_histogram(h, anl_json_text_of(m, "values"), out);
    show_spacing(anl_json_child(m, "spacing"), out);
    show_shards(anl_json_child(m, "shards"), out);
    show_identical(anl_json_child(m, "identical"), out);
    show_skipped(anl_json_child(m, "skipped"), out);
}

static anl_status read_manifest(const char *folder, anl_arena *arena, const char **path, const anl_json_value **out, anl_diagnostics *diagnostics)
{
    char *text;
    *path = anl_path_join(arena, folder, "manifest.json");
    const anl_status status = anl_file_read(arena, *path, 0, &text, NULL);
    *out = status == ANL_OK ? anl_json_tree(arena, text) : NULL;
    const anl_json_value *shards = anl_json_child(*out, "shards");
    if (shards && shards->kind == ANL_JSON_ARRAY)
        return ANL_OK;
    anl_diagnose(diagnostics, ANL_A_shard_invalid, (anl_span){.file = *path}, "cannot read %s: %s", *path,
                 status != ANL_OK ? strerror(errno) : "it is not what `anlage pack` writes");
    return status != ANL_OK ? status : ANL_ERROR_FORMAT;
}

anl_status anl_pack_inspect(const char *folder, FILE *out, anl_diagnostics *diagnostics)
{
    anl_arena *arena = anl_arena_new();
    const char *path;
    const anl_json_value *m;
    anl_status status = read_manifest(folder, arena, &path, &m, diagnostics);
    if (status == ANL_OK)
        show(path, m, arena, out);
    anl_arena_free(&arena);
    return status;
}

anl_status anl_pack_verify(const char *folder, FILE *out, anl_diagnostics *diagnostics)
{
    anl_arena *arena = anl_arena_new();
    const char *path;
    const anl_json_value *m;
    anl_status status = read_manifest(folder, arena, &path, &m, diagnostics);
    int good = 0;
    for (const anl_json_value *s = status == ANL_OK ? anl_json_child(m, "shards")->first : NULL; s; s = s->next) {
        const char *name = anl_json_text_of(s, "file"), *shard = anl_path_join(arena, folder, name);
        uint8_t digest[32];
        char hex[65];
        const bool inside = name[0] && !strchr(name, '/'); /* a pack of somebody else's may name any file, and some never end */
        const bool read = inside && anl_sha256_file(shard, digest) == ANL_OK;
        const char *reason = !inside ? "the manifest names no file of its own folder"
                             : read  ? "it was changed, or damaged, after packing: its SHA-256 is another than the manifest says" : strerror(errno);
        if (read)
            anl_hex(digest, sizeof digest, hex);
        if (inside && !anl_json_child(s, "sha256")) /* packed before there were sums */
            reason = "the manifest has no SHA-256 of it";
        else if (read && !strcmp(hex, anl_json_text_of(s, "sha256"))) {
            good++;
            continue;
        }
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_pack_altered, (anl_span){.file = shard}, "%s is not as it was packed: %s", shard, reason);
        anl_diagnostic_note(diagnostics, d, "copy it again from where it was packed, or pack anew");
        status = ANL_ERROR_FORMAT;
    }
    if (status == ANL_OK)
        fprintf(out, "%s: %d shard%s as packed\n", folder, good, good == 1 ? " is" : "s are");
    anl_arena_free(&arena);
    return status;
}
