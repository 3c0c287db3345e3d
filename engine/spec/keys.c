/* Keys of mappings: what a mapping may hold, and plain texts and words behind its keys.
 * In: syntax. Out: the values of known keys; diagnostics of unknown, empty and missing ones and of wrong kinds.
 * Every section and declaration is read through here, so that no key is ever passed over in silence. */
#include <string.h>

#include <anlage/diagnostic_codes.h>

#include "spec/reader.h"

static const char *kind_name(const anl_syntax *s)
{
    return s->kind == ANL_Y_LIST      ? "a list"
           : s->kind == ANL_Y_MAPPING ? "a mapping"
           : anl_syntax_null(s)       ? "nothing"
                                      : "a single value";
}

void anl_reader_wrong_kind(reader *r, const anl_syntax *s, anl_span where, const char *expected, const char *remedy)
{
    if (s->broken)
        return;
    if (s->kind == ANL_Y_SCALAR && !s->quoted && !s->block &&
        anl_trap_blank(r->diagnostics, s->source, s->start, s->text, strcspn(s->text, " ")))
        return;
    anl_span span = anl_syntax_null(s) ? where : s->span;
    anl_diagnostic *d =
        anl_diagnose(r->diagnostics, ANL_A_type_mismatch, span, "expected %s here, found %s", expected, kind_name(s));
    if (remedy)
        anl_diagnostic_suggest(r->diagnostics, d, "%s", remedy);
}

bool anl_reader_check_name(reader *r, const char *what, const char *name, anl_span span)
{
    if (anl_name_valid(name))
        return true;
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_expression_syntax, span, "`%s` cannot be the name of %s", name, what);
    anl_diagnostic_note(
        r->diagnostics, d,
        "a name is made of letters, digits and `_`, begins with no digit, and is not `and`, `or`, `not`, `true` or `false`");
    return false;
}

/* Returns the key that was meant, probably; NULL: none is near. */
static const char *unknown_key(reader *r, const anl_syntax *s, const anl_pair *pair, const char *what, const anl_keys *about)
{
    const char **names = ANL_NEW_ARRAY(r->arena, const char *, about->count);
    anl_text all = {0};
    for (int i = 0; i < about->count; i++) {
        names[i] = about->list[i].name;
        anl_text_printf(&all, "%s`%s`", i ? ", " : "", names[i]);
    }
    anl_diagnostic *d =
        anl_diagnose(r->diagnostics, ANL_A_unknown_key, pair->key_span, "unknown key `%s` in %s", pair->key, what);
    anl_diagnostic_note(r->diagnostics, d, "known keys: %s", all.data);
    if (!strcmp(pair->key, "<<"))
        anl_diagnostic_note(r->diagnostics, d, "`<<` merges nothing here: write the keys out, or make a function or a param of what is shared");
    anl_text_free(&all);
    int free_count = 0; /* those that the mapping has already, but for what it overrides, were not meant */
    for (int i = 0; i < about->count; i++) {
        bool there = false;
        for (int k = 0; k < s->count && !there; k++)
            there = !strcmp(s->pairs[k].key, names[i]) && s->pairs[k].key_span.file == pair->key_span.file;
        if (!there)
            names[free_count++] = names[i];
    }
    return anl_diagnostic_nearest(r->diagnostics, d, pair->key_span, pair->key, names, free_count, true);
}

/* Fills keys from a mapping; unknown, empty and missing ones are reported. */
bool anl_reader_keys(reader *r, const anl_syntax *s, anl_span where, const char *what, const anl_keys *about, key *keys)
{
    for (int k = 0; k < about->count; k++)
        keys[k] = (key){.about = &about->list[k]};
    if (s->kind != ANL_Y_MAPPING) {
        anl_reader_wrong_kind(r, s, where, "a mapping", NULL);
        return false;
    }
    bool broken = s->broken, *misspelt = ANL_NEW_ARRAY(r->arena, bool, about->count + 1);
    for (int i = 0; i < s->count; i++) {
        const anl_pair *pair = &s->pairs[i];
        int k = 0;
        while (k < about->count && strcmp(about->list[k].name, pair->key))
            k++;
        if (k == about->count) {
            const char *meant = unknown_key(r, s, pair, what, about);
            for (int j = 0; meant && j < about->count; j++)
                misspelt[j] = misspelt[j] || !strcmp(about->list[j].name, meant);
            continue;
        }
        keys[k].span = pair->key_span;
        if (anl_syntax_null(pair->value)) {
            anl_diagnose(r->diagnostics, ANL_A_missing_key, pair->key_span, "`%s:` of %s is empty", pair->key, what);
            continue;
        }
        if (pair->value->kind == ANL_Y_SCALAR && pair->value->broken)
            broken = true;
        keys[k].value = pair->value;
    }
    for (int k = 0; k < about->count; k++) /* a missing version has a report of its own */
        if (about->list[k].required && about->list[k].type != ANL_K_VERSION && !keys[k].span.line && !broken && !misspelt[k])
            anl_diagnose(r->diagnostics, ANL_A_missing_key, where, "%s needs `%s:`", what, about->list[k].name);
    return true;
}

/* A plain text: doc, title, unit. NULL where there is none. */
const char *anl_reader_text(reader *r, const key *k)
{
    if (!k->value)
        return NULL;
    if (k->value->kind != ANL_Y_SCALAR) {
        anl_reader_wrong_kind(r, k->value, k->span, "a text", NULL);
        return NULL;
    }
    if (k->about->type != ANL_K_WORD && k->about->type != ANL_K_TRUTH)
        anl_trap_text(r->diagnostics, k->value, anl_arena_printf(r->arena, "`%s:`", k->about->name));
    return k->value->broken ? NULL : k->value->text;
}

/* A word out of the few that the key allows. */
const char *anl_reader_word(reader *r, const key *k)
{
    const char *text = anl_reader_text(r, k);
    if (!text)
        return NULL;
    const char *const *words = k->about->words;
    int count = 0;
    for (; words[count]; count++)
        if (!strcmp(text, words[count]))
            return words[count];
    if (k->about->type == ANL_K_TRUTH && !k->value->quoted && anl_trap_name(r->diagnostics, k->value->span, text))
        return NULL;
    anl_text all = {0};
    for (int i = 0; i < count; i++)
        anl_text_printf(&all, "%s`%s`", !i ? "" : i + 1 == count ? " or " : ", ", words[i]);
    anl_diagnostic *d = anl_diagnose(r->diagnostics, ANL_A_type_mismatch, k->value->span, "`%s:` is %s, not `%s`",
                                     k->about->name, all.data, text);
    anl_diagnostic_nearest(r->diagnostics, d, k->value->span, text, words, count, true);
    anl_text_free(&all);
    return NULL;
}

bool anl_reader_truth(reader *r, const key *k)
{
    const char *word = anl_reader_word(r, k);
    return word && word[0] == 't';
}
