/* The JSON Schema of spec files (draft 7), for editors.
 * In: the table of keys and the table of operations. Out: text.
 * It promises no more than the reader does: whatever can be read fits the schema, so that an editor never cries wolf. */
#include <anlage/schema.h>

#include <string.h>

#include "base/json.h"
#include "ops/ops.h"
#include "spec/keys.h"

#define NAME_PATTERN "[A-Za-z_][A-Za-z0-9_]*"

enum { SCALAR = 1, TEXT = 2, LIST = 4, MAPPING = 8, NOTHING = 16 };

/* What kinds of YAML value may stand there. What more a schema says of lists or of mappings holds of those alone. */
static void write_types(anl_json *json, int kinds)
{
    static const struct {
        int of;
        const char *type;
    } types[] = {{SCALAR | TEXT, "string"}, {SCALAR, "number"},  {SCALAR, "boolean"},
                 {LIST, "array"},           {MAPPING, "object"}, {NOTHING, "null"}};
    anl_json_array(json, "type");
    for (size_t i = 0; i < ANL_COUNT(types); i++)
        if (kinds & types[i].of)
            anl_json_string(json, NULL, types[i].type);
    anl_json_array_end(json);
}

static void write_doc(anl_json *json, const char *doc)
{
    anl_json_string(json, "description", doc);
    if (strchr(doc, '`'))
        anl_json_string(json, "markdownDescription", doc);
}

static void write_words(anl_json *json, const char *key, const char *const *words)
{
    anl_json_array(json, key);
    for (; *words; words++)
        anl_json_string(json, NULL, *words);
    anl_json_array_end(json);
}

/* ---- one key ---- */

static void write_key(anl_json *json, const char *name, const anl_key *key, bool partial, bool nullable);

/* The members of a mapping: known keys, names of the author's choosing, or both. partial: an imported file may have what is
 * required. */
static void write_members(anl_json *json, const anl_key *key, bool partial)
{
    const anl_keys *keys = key->keys;
    int required = 0;
    if (keys)
        anl_json_object(json, "properties");
    for (int i = 0; keys && i < keys->count; i++) {
        const anl_key *member = &keys->list[i];
        bool file = key == &anl_spec_key, mapping = member->keys || member->entry;
        /* A section whose entries are all commented out is no mistake. */
        write_key(json, member->name, member, partial || (file && i >= FILE_SECTIONS),
                  file && (mapping || member->type == ANL_K_FILES));
        required += member->required && !partial;
    }
    if (keys)
        anl_json_object_end(json);
    if (required)
        anl_json_array(json, "required");
    for (int i = 0; required && i < keys->count; i++)
        if (keys->list[i].required)
            anl_json_string(json, NULL, keys->list[i].name);
    if (required)
        anl_json_array_end(json);
    if (key->entry)
        write_key(json, "additionalProperties", key->entry, partial, false);
    else
        anl_json_bool(json, "additionalProperties", false);
}

static void write_items(anl_json *json, const anl_key *key)
{
    anl_json_object(json, "items");
    if (key->type == ANL_K_LIST) { /* lists of two files are not merged */
        write_types(json, MAPPING);
        write_members(json, key, false);
    } else if (key->type == ANL_K_NODE || key->type == ANL_K_STEPS) {
        anl_json_string(json, "$ref", "#/definitions/step");
    } else if (key->type == ANL_K_FILES || key->type == ANL_K_SIGNATURE) {
        write_types(json, TEXT);
        if (key->type == ANL_K_SIGNATURE)
            anl_json_string(json, "pattern", "^(~space|(\\.\\.\\.)?" NAME_PATTERN ")$");
    }
    anl_json_object_end(json);
}

static int kinds_of(const anl_key *key)
{
    switch (key->type) {
    case ANL_K_NONE:
        return 0;
    case ANL_K_TEXT:
    case ANL_K_PATH:
    case ANL_K_MODULE:
    case ANL_K_GLOB:
        return SCALAR; /* YAML reads a text that looks like a number as one */
    case ANL_K_NAME:
    case ANL_K_DURATION: /* a bare number has no unit */
        return TEXT;
    case ANL_K_FILES:
        return TEXT | LIST;
    case ANL_K_COLUMNS:
        return SCALAR | LIST;
    case ANL_K_VALUE:
    case ANL_K_NODE:
        return SCALAR | LIST;
    case ANL_K_ARGUMENT:
        return SCALAR | LIST | MAPPING;
    case ANL_K_STEPS:
    case ANL_K_RANGE:
    case ANL_K_SIGNATURE:
    case ANL_K_LIST:
        return LIST;
    case ANL_K_WORD:
    case ANL_K_TRUTH:
    case ANL_K_VERSION:
        break; /* enumerations say it all */
    }
    return 0;
}

/* A key's documentation and what may stand behind it, into the object that is open. nullable: it may be left empty. */
static void write_value_of(anl_json *json, const anl_key *key, bool partial, bool nullable)
{
    bool mapping = (key->keys || key->entry) && key->type != ANL_K_LIST;
    int kinds = kinds_of(key) | (mapping ? MAPPING : 0) | (nullable ? NOTHING : 0);
    write_doc(json, key->doc);
    if (kinds)
        write_types(json, kinds);
    if (key->type == ANL_K_WORD)
        write_words(json, "enum", key->words);
    else if (key->words && key->type != ANL_K_TRUTH)
        write_words(json, "examples", key->words);
    if (key->type == ANL_K_DURATION)
        write_words(json, "examples", (const char *const[]){"10ep", "1000it", NULL});
    if (key->type == ANL_K_VERSION || key->type == ANL_K_TRUTH)
        anl_json_array(json, "enum");
    if (key->type == ANL_K_VERSION)
        anl_json_integer(json, NULL, 1);
    for (int truth = 1; truth >= 0 && key->type == ANL_K_TRUTH; truth--)
        anl_json_bool(json, NULL, truth);
    if (key->type == ANL_K_VERSION || key->type == ANL_K_TRUTH)
        anl_json_array_end(json);
    if (key->type == ANL_K_NAME)
        anl_json_string(json, "pattern", "^" NAME_PATTERN "$");
    if (key->type == ANL_K_RANGE || key->type == ANL_K_NODE || key->type == ANL_K_STEPS)
        anl_json_integer(json, "minItems", key->type == ANL_K_RANGE ? 2 : 1);
    if (key->type == ANL_K_RANGE)
        anl_json_integer(json, "maxItems", 2);
    if (kinds & LIST)
        write_items(json, key);
    if (mapping)
        write_members(json, key, partial);
}

static void write_key(anl_json *json, const char *name, const anl_key *key, bool partial, bool nullable)
{
    anl_json_object(json, name);
    write_value_of(json, key, partial, nullable);
    anl_json_object_end(json);
}

/* ---- steps: what may be called is the operations' table, and whatever functions a spec has ---- */

static void write_operation(anl_json *json, const anl_builtin *b)
{
    anl_text doc = {0};
    anl_text_printf(&doc, "%s\n\nAxes: %s.\n\nExample: `%s`", b->doc, b->axes, b->example);
    anl_json_object(json, b->name);
    write_doc(json, doc.data);
    anl_text_free(&doc);
    write_types(json, MAPPING | NOTHING);
    anl_json_object(json, "properties");
    for (int i = 0; i < b->param_count; i++) {
        const anl_op_param *p = &b->params[i];
        if (!strcmp(p->name, "pairs")) /* the arguments themselves: {view: 2} */
            continue;
        anl_text about = {0};
        anl_text_add(&about, p->doc);
        if (p->fallback && strcmp(p->fallback, "none") != 0)
            anl_text_printf(&about, " (default: %s)", p->fallback);
        write_key(json, p->name, &(anl_key){.doc = about.data, .type = ANL_K_ARGUMENT}, false, false);
        anl_text_free(&about);
    }
    anl_json_object_end(json);
    anl_json_object_end(json);
}

static void write_step(anl_json *json)
{
    const anl_key *step = &anl_step_key;
    anl_json_object(json, "step");
    write_doc(json, step->doc);
    write_types(json, SCALAR | MAPPING);
    anl_json_array(json, "examples");
    for (int i = 0; anl_builtin_at(i); i++)
        anl_json_string(json, NULL, anl_builtin_at(i)->name);
    anl_json_array_end(json);
    anl_json_integer(json, "minProperties", 1);
    anl_json_integer(json, "maxProperties", 1);
    anl_json_object(json, "properties");
    for (int i = 0; i < step->keys->count; i++)
        write_key(json, step->keys->list[i].name, &step->keys->list[i], false, false);
    for (int i = 0; anl_builtin_at(i); i++)
        write_operation(json, anl_builtin_at(i));
    anl_json_object_end(json);
    write_key(json, "additionalProperties", step->entry, false, true);
    anl_json_object_end(json);
}

void anl_schema_print(FILE *out)
{
    anl_text text = {0};
    anl_json json = {.text = &text, .pretty = true};
    anl_json_object(&json, NULL);
    anl_json_string(&json, "$schema", "http://json-schema.org/draft-07/schema#");
    anl_json_string(&json, "title", "Anlage spec");
    write_value_of(&json, &anl_spec_key, false, false);
    anl_json_object(&json, "definitions");
    write_step(&json);
    anl_json_object_end(&json);
    anl_json_object_end(&json);
    fprintf(out, "%s\n", text.data);
    anl_text_free(&text);
}
