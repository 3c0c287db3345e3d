/* The table of modalities, and finding in it.
 * In: a word. Out: an entry of the table. */
#include <anlage/modality.h>

#include <string.h>
#include <strings.h>

#include "base/base.h"

static const anl_modality table[] = {
#define X(name, also, traits, doc) {#name, also, traits, doc},
    ANL_MODALITIES(X)
#undef X
};

const char *const anl_modality_names[] = {
#define X(name, also, traits, doc) #name,
    ANL_MODALITIES(X)
#undef X
        NULL};

const anl_modality *anl_modality_at(int index) { return index >= 0 && index < (int)ANL_COUNT(table) ? &table[index] : NULL; }

const anl_modality *anl_modality_find(const char *name)
{
    for (size_t i = 0; i < ANL_COUNT(table); i++)
        if (!strcmp(table[i].name, name))
            return &table[i];
    return NULL;
}

/* The next of the words that blanks separate; returns its length, 0 at the end. */
static size_t next_word(const char **at)
{
    *at += strspn(*at, " ");
    return strcspn(*at, " ");
}

const anl_modality *anl_modality_meant(const char *word)
{
    for (size_t i = 0; i < ANL_COUNT(table); i++) {
        if (!strcasecmp(table[i].name, word))
            return &table[i];
        const char *at = table[i].also;
        for (size_t length; (length = next_word(&at)) > 0; at += length)
            if (strlen(word) == length && !strncasecmp(at, word, length))
                return &table[i];
    }
    return NULL;
}

const anl_modality *anl_modality_nearest(const char *word)
{
    const anl_modality *meant = anl_modality_meant(word);
    if (meant)
        return meant;
    const char *near = anl_nearest(word, anl_modality_names, (int)ANL_COUNT(table));
    return near ? anl_modality_find(near) : NULL;
}

void anl_modality_explain(anl_diagnostics *list, anl_diagnostic *d, const char *word)
{
    anl_text all = {0};
    for (size_t i = 0; i < ANL_COUNT(table); i++)
        anl_text_printf(&all, "%s`%s`", i ? ", " : "", table[i].name);
    anl_diagnostic_note(list, d, "modalities: %s", all.data);
    anl_text_free(&all);
    const anl_modality *near = anl_modality_nearest(word);
    if (near)
        anl_diagnostic_suggest(list, d, "did you mean `%s`?", near->name);
}
