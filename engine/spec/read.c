/* Spec files to a typed recipe: files, imports and the merge of their sections.
 * In: the path of a spec, --set overrides, the folder of the stock library. Out: anl_recipe; every problem that shows without
 * tracing. Files are merged as syntax first (the importing file wins, key by key) and read once after that, so that every value
 * keeps its place. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "spec/reader.h"

enum { IMPORT_DEPTH = 64 };

/* The mapping that base becomes under another file: keys of both are merged where both are mappings, else the other file's win.
 */
static anl_syntax *merge(reader *r, anl_syntax *base, anl_syntax *over, int depth)
{
    if (!base || base->kind != ANL_Y_MAPPING || over->kind != ANL_Y_MAPPING || depth > ANL_SYNTAX_DEPTH)
        return over;
    anl_syntax *s = ANL_NEW(r->arena, anl_syntax);
    *s = *over;
    s->count = 0;
    s->pairs = ANL_NEW_ARRAY(r->arena, anl_pair, base->count + over->count);
    for (int i = 0; i < base->count; i++)
        s->pairs[s->count++] = base->pairs[i];
    for (int i = 0; i < over->count; i++) {
        const anl_pair *pair = &over->pairs[i];
        int k = 0;
        while (k < base->count && strcmp(base->pairs[k].key, pair->key))
            k++;
        if (k == base->count) {
            s->pairs[s->count++] = *pair;
            continue;
        }
        bool whole = !strcmp(pair->key, "axes"); /* the axes of a value are one thing: half of an old shape helps nobody */
        anl_pair merged = *pair;
        if (!whole)
            merged.value = merge(r, base->pairs[k].value, pair->value, depth + 1);
        s->pairs[k] = merged;
    }
    return s;
}

/* a/b/../c to a/c, for showing; the file itself is opened by the path as given, which may go through links. */
static const char *shorten(anl_arena *arena, const char *path)
{
    char *out = anl_arena_text(arena, path);
    for (;;) {
        char *up = NULL, *part = out;
        for (char *at = out; (at = strstr(at, "/../")); at++) { /* the first /../ that has a real folder before it */
            part = at;
            while (part > out && part[-1] != '/')
                part--;
            if (at > part && strncmp(part, "..", (size_t)(at - part)) && strncmp(part, ".", (size_t)(at - part))) {
                up = at;
                break;
            }
        }
        if (!up)
            break;
        memmove(part, up + 4, strlen(up + 4) + 1);
    }
    while (!strncmp(out, "./", 2))
        out += 2;
    return out;
}

static const char *folder_of(anl_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? anl_arena_copy(arena, path, (size_t)(slash - path) + 1) : "";
}

/* A file's real path, so that it is known on whatever way it is reached. NULL: there is none. */
static const char *real_path(anl_arena *arena, const char *path)
{
    char *real = realpath(path, NULL);
    const char *copy = real ? anl_arena_text(arena, real) : NULL;
    free(real);
    return copy;
}

/* The text that stands for a file, or NULL. identity: the file's real path, NULL where there is none. */
static const anl_document *document_of(reader *r, const char *path, const char *identity)
{
    for (int i = 0; i < r->document_count; i++) {
        const char *other = identity ? real_path(r->arena, r->documents[i].path) : NULL;
        if (!strcmp(r->documents[i].path, path) || (other && !strcmp(other, identity)))
            return &r->documents[i];
    }
    return NULL;
}

static const char *identity_of(reader *r, const char *path)
{
    const char *real = real_path(r->arena, path);
    const anl_document *document = real ? NULL : document_of(r, shorten(r->arena, path), NULL);
    return document ? document->path : real;
}

/* Adds the file's sections to the reader, its imports' before them. importer: the place that names the file, where it is an import; an
 * unreadable file is reported there. False: it could not be read as YAML, and a diagnostic says why. */
static bool load(reader *r, const char *path, const anl_span *importer, int depth);

/* Beside the importing file, then in the library's folder, then in its lib/. */
void anl_import_places(anl_arena *arena, const char *importer, const char *text, const char *library,
                       const char *places[ANL_IMPORT_PLACES])
{
    places[0] = text;
    places[1] = places[2] = NULL;
    if (text[0] == '/')
        return;
    places[0] = anl_arena_printf(arena, "%s%s", folder_of(arena, importer), text);
    places[1] = library ? anl_arena_printf(arena, "%s/%s", library, text) : NULL;
    places[2] = library ? anl_arena_printf(arena, "%s/lib/%s", library, text) : NULL;
}

static void import_missing(reader *r, const anl_syntax *s, const char *const *places)
{
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_import_missing, s->span, "cannot find `%s`", s->text);
    const char *base = strrchr(s->text, '/'), **names = NULL;
    base = base ? base + 1 : s->text;
    int count = 0, capacity = 0;
    for (int i = 0; i < ANL_IMPORT_PLACES && places[i]; i++) {
        const char *folder_name = folder_of(r->arena, places[i]);
        DIR *folder = opendir(folder_name[0] ? folder_name : ".");
        anl_diagnostic_note(r->diagnostics, d, "looked for %s", shorten(r->arena, places[i]));
        for (struct dirent *e; folder && (e = readdir(folder));)
            ANL_PUSH(r->arena, names, count, capacity, anl_arena_text(r->arena, e->d_name));
        if (folder)
            closedir(folder);
    }
    for (int i = 1; i < count; i++) /* readdir's order is the disk's: sorted, the answer does not depend on it */
        for (int k = i; k > 0 && strcmp(names[k - 1], names[k]) > 0; k--) {
            const char *t = names[k];
            names[k] = names[k - 1];
            names[k - 1] = t;
        }
    anl_diagnostic_nearest(r->diagnostics, d, s->span, base, names, count, false);
}

static void note_import(reader *r, int importer, int file, const anl_syntax *s)
{
    loaded_file *f = &r->files[importer];
    ANL_PUSH(r->arena, f->imports, f->import_count, f->import_capacity, file);
    anl_import import = {.span = s->span, .text = s->text};
    if (importer == 0)
        ANL_PUSH(r->arena, r->recipe->imports, r->recipe->import_count, r->capacities[3], import);
}

static void collect_imported(reader *r, anl_import *into, int file, bool *met, int *capacity)
{
    if (met[file])
        return;
    met[file] = true;
    const loaded_file *f = &r->files[file];
    into->sections |= f->sections;
    ANL_PUSH(r->arena, into->files, into->file_count, *capacity, f->name);
    for (int i = 0; i < f->import_count; i++)
        collect_imported(r, into, f->imports[i], met, capacity);
}

/* What each import of the main file brings. */
static void follow_imports(reader *r)
{
    for (int i = 0; i < r->recipe->import_count; i++) {
        int capacity = 0;
        collect_imported(r, &r->recipe->imports[i], r->files[0].imports[i], ANL_NEW_ARRAY(r->arena, bool, r->file_count), &capacity);
    }
}

static void load_import(reader *r, const anl_syntax *s, anl_span where, int importing, const char *importer, int depth)
{
    if (s->kind != ANL_Y_SCALAR || anl_syntax_null(s)) {
        anl_reader_wrong_kind(r, s, where, "the path of a file", NULL);
        return;
    }
    const char *places[ANL_IMPORT_PLACES], *path = NULL, *identity = NULL;
    anl_import_places(r->arena, importer, s->text, r->library, places);
    for (int i = 0; i < ANL_IMPORT_PLACES && places[i] && !identity; i++) {
        path = places[i];
        identity = identity_of(r, path);
    }
    if (!identity) {
        import_missing(r, s, places);
        return;
    }
    for (int i = 0; i < r->file_count; i++) {
        if (strcmp(r->files[i].identity, identity))
            continue;
        if (!r->files[i].open) {
            note_import(r, importing, i, s);
            return; /* read already: files may be reached on several ways */
        }
        anl_diagnostic *d =
            anl_diagnose(r->diagnostics, ANL_A_import_loop, s->span, "this import leads back to `%s`", r->files[i].name);
        anl_text chain = {0};
        for (int k = i; k < r->file_count; k++)
            if (r->files[k].open)
                anl_text_printf(&chain, "%s imports ", r->files[k].name);
        anl_diagnostic_note(r->diagnostics, d, "%s%s", chain.data, r->files[i].name);
        anl_text_free(&chain);
        return;
    }
    if (depth >= IMPORT_DEPTH) {
        anl_diagnose(r->diagnostics, ANL_A_too_deep, s->span, "imports are nested more than %d files deep", IMPORT_DEPTH);
        return;
    }
    const int next = r->file_count;
    load(r, path, &s->span, depth + 1);
    if (r->file_count > next)
        note_import(r, importing, next, s);
}

static void add_entries(reader *r, const key *k, const char *what, const char *file, entry **list, int *count, int *capacity)
{
    if (!k->value)
        return;
    if (k->value->kind != ANL_Y_MAPPING) {
        anl_text text = {0};
        anl_text_printf(&text, "a mapping of %s", what);
        anl_reader_wrong_kind(r, k->value, k->span, text.data, NULL);
        anl_text_free(&text);
        return;
    }
    for (int i = 0; i < k->value->count; i++) {
        entry e = {k->value->pairs[i], file};
        ANL_PUSH(r->arena, *list, *count, *capacity, e);
    }
}

static void check_version(reader *r, const key *k, anl_span top)
{
    if (!k->value) {
        if (!k->span.line) {
            anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_missing_key, top,
                                             "the file does not say which version of the language it is in");
            anl_diagnostic_suggest(r->diagnostics, d, "begin it with `anlage: 1`");
        }
        return;
    }
    if (k->value->kind == ANL_Y_SCALAR && !strcmp(k->value->text, "1"))
        return;
    anl_diagnose(r->diagnostics, ANL_A_language_version, k->value->span, "this program reads version 1 of the language");
}

static bool load(reader *r, const char *path, const anl_span *importer, int depth)
{
    const char *name = shorten(r->arena, path), *identity = identity_of(r, path);
    char *text = NULL;
    size_t length = 0;
    anl_span top = {name, 0, 0, 0};
    errno = 0;
    anl_status status = ANL_OK;
    const anl_document *document = document_of(r, name, identity);
    if (document && document->length > ANL_SYNTAX_BYTES)
        status = ANL_ERROR_LIMIT;
    else if (document)
        text = anl_arena_copy(r->arena, document->text, length = document->length);
    else
        status = anl_file_read(r->arena, path, ANL_SYNTAX_BYTES, &text, &length);
    if (status != ANL_OK) {
        anl_span place = importer ? *importer : top;
        if (status == ANL_ERROR_LIMIT)
            anl_diagnose(r->diagnostics, ANL_A_file_unreadable, place, "`%s` has more than %d MiB; this is no spec file", name,
                         ANL_SYNTAX_BYTES >> 20);
        else
            anl_diagnose(r->diagnostics, ANL_A_file_unreadable, place, "cannot read `%s`: %s", name,
                         errno ? strerror(errno) : "it is no readable file");
        return false;
    }
    loaded_file file = {.name = name, .identity = identity ? identity : name, .open = true};
    int index = r->file_count;
    ANL_PUSH(r->arena, r->files, r->file_count, r->file_capacity, file);
    ANL_PUSH(r->arena, r->recipe->files, r->recipe->file_count, r->capacities[2], name);
    anl_syntax *root = anl_syntax_parse(r->arena, name, text, length, r->diagnostics);
    if (!root) {
        r->files[index].open = false;
        return false;
    }
    top = (anl_span){name, 1, 1, 1};
    if (depth == 0)
        r->recipe->span = root->span;
    key keys[FILE_KEYS];
    if (root->kind != ANL_Y_MAPPING) {
        anl_reader_wrong_kind(r, root, root->span, "a mapping", "a spec file begins with `anlage: 1`");
        r->files[index].open = false;
        return depth > 0;
    }
    /* A section whose entries are all commented out is no mistake. */
    for (int i = 0; i < root->count; i++)
        if (anl_syntax_null(root->pairs[i].value) && strcmp(root->pairs[i].key, "anlage")) {
            anl_syntax *empty = ANL_NEW(r->arena, anl_syntax);
            *empty = (anl_syntax){.kind = ANL_Y_MAPPING, .span = root->pairs[i].key_span};
            if (!strcmp(root->pairs[i].key, "import"))
                empty->kind = ANL_Y_LIST;
            if (strcmp(root->pairs[i].key, "title") && strcmp(root->pairs[i].key, "doc"))
                root->pairs[i].value = empty;
        }
    anl_reader_keys(r, root, top, "a spec file", &anl_file_keys, keys);
    check_version(r, &keys[FILE_VERSION], top);
    if (keys[FILE_IMPORT].value) {
        anl_syntax *imports = keys[FILE_IMPORT].value;
        if (imports->kind == ANL_Y_LIST)
            for (int i = 0; i < imports->count; i++)
                load_import(r, imports->items[i], keys[FILE_IMPORT].span, index, path, depth);
        else
            load_import(r, imports, keys[FILE_IMPORT].span, index, path, depth);
    }
    const char *title = anl_reader_text(r, &keys[FILE_TITLE]), *doc = anl_reader_text(r, &keys[FILE_DOC]);
    if (depth == 0) {
        r->recipe->title = title;
        r->recipe->doc = doc;
    }
    r->files[index].sections = keys[FILE_PARAMS].value != NULL;
    add_entries(r, &keys[FILE_PARAMS], "params", name, &r->params, &r->param_count, &r->param_capacity);
    add_entries(r, &keys[FILE_FUNCTIONS], "functions", name, &r->functions, &r->function_count, &r->function_capacity);
    for (int i = 0; i < SECTION_COUNT; i++) {
        if (!keys[FILE_SECTIONS + i].value)
            continue;
        r->files[index].sections = true;
        r->sections[i] = merge(r, r->sections[i], keys[FILE_SECTIONS + i].value, 0);
        r->section_spans[i] = keys[FILE_SECTIONS + i].span;
    }
    r->files[index].open = false;
    return true;
}

anl_status anl_recipe_read(const char *path, const anl_override *overrides, int override_count, const char *library,
                           anl_diagnostics *diagnostics, anl_recipe **out)
{
    return anl_recipe_read_documents(path, NULL, 0, overrides, override_count, library, diagnostics, out);
}

anl_status anl_recipe_read_documents(const char *path, const anl_document *documents, int document_count,
                                     const anl_override *overrides, int override_count, const char *library,
                                     anl_diagnostics *diagnostics, anl_recipe **out)
{
    *out = NULL;
    int before = anl_diagnostics_errors(diagnostics);
    anl_arena *arena = anl_arena_new();
    reader r = {.arena = arena,
                .diagnostics = diagnostics,
                .library = library,
                .documents = documents,
                .document_count = document_count};
    r.recipe = ANL_NEW(arena, anl_recipe);
    r.recipe->arena = arena;
    r.recipe->file = shorten(arena, path); /* as spans name it */
    if (!load(&r, path, NULL, 0)) {
        bool unreadable = r.file_count == 0;
        anl_arena_free(&arena);
        return unreadable ? ANL_ERROR_FILE : ANL_ERROR_SPEC;
    }
    follow_imports(&r);
    r.recipe->library = true;
    for (int i = 0; i < SECTION_COUNT; i++)
        if (r.sections[i] && (r.sections[i]->kind != ANL_Y_MAPPING || r.sections[i]->count))
            r.recipe->library = false;
    anl_reader_params(&r);
    anl_reader_overrides(&r, overrides, override_count);
    anl_reader_functions(&r);
    anl_reader_sections(&r);
    *out = r.recipe;
    return anl_diagnostics_errors(diagnostics) > before ? ANL_ERROR_SPEC : ANL_OK;
}

void anl_recipe_free(anl_recipe **recipe)
{
    if (!*recipe)
        return;
    anl_arena *arena = (*recipe)->arena; /* the recipe itself lies in it */
    *recipe = NULL;
    anl_arena_free(&arena);
}

const anl_function *anl_recipe_function(const anl_recipe *recipe, const char *name)
{
    return anl_lookup_find(&recipe->function_names, name);
}
