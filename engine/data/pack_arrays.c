/* Arrays of HDF5 files as the input of a pack: one entry for each scan in them, their labels as a table.
 * In: FILE.h5:/path on the command line, arrays of labels. Out: entries, and the table that a labels.csv would have been.
 * The arrays stay open until the pack is finished. */
#include "data/pack.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <anlage/diagnostic_codes.h>

enum { SHOWN_ARRAYS = 5 };

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

anl_status anl_pack_add_array(anl_pack_state *p, const char *input, size_t colon)
{
    char reason[ANL_REASON_SIZE];
    anl_array *array = ANL_NEW(p->arena, anl_array);
    const char *file = anl_arena_copy(p->arena, input, colon);
    anl_status status = anl_array_open(file, input + colon + 1, p->options->axes, array, reason);
    if (status == ANL_OK && p->entry_count > INT_MAX - array->count) {
        anl_array_close(array);
        status = anl_scan_refuse(reason, ANL_ERROR_LIMIT, "these are more than %d images", INT_MAX);
    }
    if (status != ANL_OK) {
        anl_diagnose(p->diagnostics, ANL_A_image_unreadable, (anl_span){.file = file}, "cannot read %s: %s", input, reason);
        return status;
    }
    ANL_PUSH(p->arena, p->arrays, p->array_count, p->array_capacity, array);
    const char *shown = base_name(file);
    for (int64_t i = 0; i < array->count; i++) {
        const anl_pack_entry e = {.path = input,
                                  .file = array->n < 0 ? anl_arena_printf(p->arena, "%s%s", shown, input + colon)
                                                       : anl_arena_printf(p->arena, "%s%s#%lld", shown, input + colon, (long long)i),
                                  .row = p->options->labels_from_count > 0 ? i : -1,
                                  .named = true,
                                  .array = array,
                                  .index = i};
        ANL_PUSH(p->arena, p->entries, p->entry_count, p->entry_capacity, e);
    }
    return ANL_OK;
}

typedef struct listing {
    anl_text text;
    int count;
} listing;

static herr_t list_array(hid_t file, const char *name, const H5O_info_t *info, void *context)
{
    (void)file;
    listing *l = context;
    if (info->type == H5O_TYPE_DATASET && l->count++ < SHOWN_ARRAYS)
        anl_text_printf(&l->text, "%s/%.80s", l->count > 1 ? ", " : "", name);
    return 0;
}

anl_status anl_pack_refuse_container(anl_pack_state *p, const char *file)
{
    listing l = {0};
    anl_hdf5_lock();
    hid_t opened = anl_hdf5_open(file);
    if (opened >= 0) {
        H5Ovisit2(opened, H5_INDEX_NAME, H5_ITER_INC, list_array, &l, H5O_INFO_BASIC);
        H5Fclose(opened);
    }
    anl_hdf5_unlock();
    anl_diagnostic *d = anl_diagnose(p->diagnostics, ANL_A_image_unreadable, (anl_span){.file = file},
                                     "%s is an HDF5 file, which may hold several arrays; name the one with the images", file);
    if (l.count > 0)
        anl_diagnostic_note(p->diagnostics, d, "it holds %s%s", l.text.data, l.count > SHOWN_ARRAYS ? ", …" : "");
    anl_diagnostic_suggest(p->diagnostics, d, "%s:/NAME", file);
    anl_text_free(&l.text);
    return ANL_ERROR_ARGUMENT;
}

void anl_pack_close_arrays(anl_pack_state *p)
{
    for (int i = 0; i < p->array_count; i++)
        anl_array_close(p->arrays[i]);
}

/* ---- labels ---- */

static anl_status cannot_take(anl_pack_state *p, const char *name, const char *reason)
{
    anl_diagnose(p->diagnostics, ANL_A_labels_invalid, (anl_span){0}, "cannot take the labels from %s: %s", name, reason);
    return ANL_ERROR_FORMAT;
}

anl_status anl_pack_array_labels(anl_pack_state *p)
{
    const anl_pack_options *o = p->options;
    if (p->array_count != 1 || p->array_count != o->input_count)
        return cannot_take(p, o->labels_from[0], "they are those of one array of images, FILE.h5:/NAME, which is to be the only input");
    const int64_t rows = p->arrays[0]->count;
    const int columns = o->labels_from_count + 1;
    anl_csv *csv = &p->csv;
    *csv = (anl_csv){.path = o->labels_from[0], .columns = columns, .rows = rows};
    csv->names = ANL_NEW_ARRAY(p->arena, const char *, columns);
    csv->cells = ANL_NEW_ARRAY(p->arena, const char *, rows * columns);
    csv->names[0] = "file";
    for (int64_t r = 0; r < rows; r++)
        csv->cells[r * columns] = p->entries[r].file;
    for (int c = 1; c < columns; c++) {
        const char *name = o->labels_from[c - 1];
        size_t colon;
        char **texts, reason[ANL_REASON_SIZE];
        int64_t count;
        if (!anl_array_named(name, &colon))
            return cannot_take(p, name, "give a file that is there and the array in it, as FILE.h5:/NAME");
        csv->names[c] = anl_arena_text(p->arena, base_name(name + colon + 1));
        for (int other = 0; other < c; other++)
            if (!strcmp(csv->names[other], csv->names[c]))
                return cannot_take(p, name, anl_arena_printf(p->arena, "there are two columns of the name `%s`", csv->names[c]));
        if (anl_array_texts(anl_arena_copy(p->arena, name, colon), name + colon + 1, &texts, &count, reason) != ANL_OK)
            return cannot_take(p, name, reason);
        for (int64_t r = 0; r < rows && count == rows; r++)
            csv->cells[r * columns + c] = anl_arena_text(p->arena, texts[r]);
        free(texts);
        if (count != rows)
            return cannot_take(p, name, anl_arena_printf(p->arena, "it has %lld, and there are %lld images", (long long)count, (long long)rows));
        for (int64_t r = 0; r < rows; r++)
            if (!anl_utf8_valid(csv->cells[r * columns + c], strlen(csv->cells[r * columns + c]), NULL))
                return cannot_take(p, name, anl_arena_printf(p->arena, "its label %lld is not UTF-8", (long long)r));
    }
    return ANL_OK;
}
