/* What YAML makes of a word against what its author means: truth values and nothing, which other readers see in words that are
 * names or texts here, and `key:value`, which is one word without a blank. In: a word as it stands in a file. Out: A0117 where it
 * cannot be meant as it is read, A0118 where it is read as a text, A0119. Quoted words are what they say. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include <anlage/diagnostic_codes.h>

#include "spec/syntax.h"

/* What YAML 1.1 means by a word: "true", "false", "" (nothing); NULL: the word itself. */
static const char *meaning(const char *word)
{
    static const struct {
        const char *word, *means;
    } all[] = {{"yes", "true"},  {"no", "false"},    {"on", "true"}, {"off", "false"},
               {"true", "true"}, {"false", "false"}, {"null", ""},   {"~", ""}};
    for (size_t i = 0; i < ANL_COUNT(all); i++)
        if (!strcasecmp(word, all[i].word))
            return all[i].means;
    return NULL;
}

bool anl_trap_name(anl_diagnostics *diagnostics, anl_span span, const char *word)
{
    const char *means = meaning(word);
    if (!means)
        return false;
    if (!*means) {
        anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_yaml_word, span, "`%s` is no value here", word);
        anl_diagnostic_suggest(diagnostics, d, "leave the key out where nothing is meant");
        return true;
    }
    anl_diagnostic *d =
        anl_diagnose(diagnostics, ANL_A_yaml_word, span, "`%s` is no truth value here: they are `true` and `false`", word);
    anl_diagnostic_suggest(diagnostics, d, "write `%s`", means);
    anl_fix_edit(diagnostics, anl_diagnostic_fix(diagnostics, d, ANL_FIX_SAFE, "write `%s`", means), span, means);
    return true;
}

void anl_trap_text(anl_diagnostics *diagnostics, const anl_syntax *s, const char *what)
{
    if (s->kind != ANL_Y_SCALAR || s->quoted || s->block || s->broken || !meaning(s->text))
        return;
    anl_diagnostic *d =
        anl_diagnose(diagnostics, ANL_A_word_as_text, s->span, "`%s` is the text \"%s\" here, for %s", s->text, s->text, what);
    anl_diagnostic_suggest(diagnostics, d, "quote it if that is meant; leave the key out if nothing is");
    char quoted[16];
    snprintf(quoted, sizeof quoted, "\"%s\"", s->text);
    anl_fix_edit(diagnostics, anl_diagnostic_fix(diagnostics, d, ANL_FIX_MAYBE, "quote it"), s->span, quoted);
}

bool anl_trap_blank(anl_diagnostics *diagnostics, const anl_source_file *source, size_t at, const char *text, size_t length)
{
    size_t word = 0;
    while (word < length && (isalnum((unsigned char)text[word]) || text[word] == '_'))
        word++;
    if (!word || word + 1 >= length || text[word] != ':' || text[word + 1] == '/' || text[word + 1] == ':' ||
        isdigit((unsigned char)text[0]))
        return false;
    const char *value = text + word + 1;
    const int rest = (int)(length - word - 1);
    anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_missing_blank, anl_source_span(source, at, at + length),
                                     "YAML takes `%.*s` for one word: a blank must stand behind the colon", (int)length, text);
    anl_diagnostic_suggest(diagnostics, d, "write `%.*s: %.*s`", (int)word, text, rest, value);
    anl_span behind = anl_source_span(source, at + word + 1, at + word + 1);
    behind.length = 0;
    anl_fix_edit(diagnostics, anl_diagnostic_fix(diagnostics, d, ANL_FIX_SAFE, "put a blank there"), behind, " ");
    return true;
}
