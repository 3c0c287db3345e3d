/* Diagnostics for programs: JSON, SARIF 2.1.0 (OASIS), GitHub's workflow commands.
 * In: a list of diagnostics. Out: text on a stream.
 * Columns count bytes from 1 in JSON and GitHub's form; SARIF is told that its columns are Unicode code points, so there they are. */
#include "base/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/config.h"
#include "base/json.h"

static const char *code_text(anl_code code, char out[16])
{
    snprintf(out, 16, "A%04d", code);
    return out;
}

/* ---- JSON ---- */
static void json_span(anl_json *json, const char *key, anl_span span)
{
    anl_json_object(json, key);
    anl_json_string(json, "file", span.file);
    if (span.line > 0) {
        anl_json_integer(json, "line", span.line);
        anl_json_integer(json, "column", span.column > 0 ? span.column : 1);
        anl_json_integer(json, "length", span.length);
    }
    anl_json_object_end(json);
}

static const char *applicability_word(anl_applicability a)
{
    return a == ANL_FIX_SAFE ? "safe" : a == ANL_FIX_MAYBE ? "maybe" : "placeholders";
}

static void json_diagnostic(anl_json *json, const anl_diagnostic *d)
{
    char code[16];
    anl_json_object(json, NULL);
    anl_json_string(json, "code", code_text(d->code, code));
    anl_json_string(json, "name", anl_code_name(d->code));
    anl_json_string(json, "severity", anl_severity_word(d->severity));
    anl_json_string(json, "message", d->message);
    json_span(json, "span", d->span);
    anl_json_array(json, "labels");
    for (int i = 0; i < d->label_count; i++) {
        anl_json_object(json, NULL);
        json_span(json, "span", d->labels[i].span);
        anl_json_string(json, "text", d->labels[i].text);
        anl_json_object_end(json);
    }
    anl_json_array_end(json);
    anl_json_array(json, "notes");
    for (int i = 0; i < d->note_count; i++)
        anl_json_string(json, NULL, d->notes[i]);
    anl_json_array_end(json);
    anl_json_string(json, "suggestion", d->suggestion);
    anl_json_array(json, "fixes");
    for (int i = 0; i < d->fix_count; i++) {
        anl_json_object(json, NULL);
        anl_json_string(json, "title", d->fixes[i].title);
        anl_json_string(json, "applicability", applicability_word(d->fixes[i].applicability));
        anl_json_array(json, "edits");
        for (int k = 0; k < d->fixes[i].edit_count; k++) {
            anl_json_object(json, NULL);
            json_span(json, "span", d->fixes[i].edits[k].span);
            anl_json_string(json, "text", d->fixes[i].edits[k].text);
            anl_json_object_end(json);
        }
        anl_json_array_end(json);
        anl_json_object_end(json);
    }
    anl_json_array_end(json);
    anl_json_object_end(json);
}

static void write_json(anl_json *json, const anl_diagnostic **items, const anl_diagnostics *list)
{
    anl_json_object(json, NULL);
    anl_json_integer(json, "version", 1);
    anl_json_integer(json, "errors", anl_diagnostics_errors(list));
    anl_json_integer(json, "warnings", anl_diagnostics_warnings(list));
    anl_json_array(json, "diagnostics");
    for (int i = 0; i < anl_diagnostics_count(list); i++)
        json_diagnostic(json, items[i]);
    anl_json_array_end(json);
    anl_json_object_end(json);
}

/* ---- SARIF ---- */

/* A region of SARIF: lines and columns from 1, columns in code points, the end behind the last one; a span may go over the ends of lines. */
static void sarif_region(anl_json *json, const char *key, const anl_diagnostics *list, anl_span span)
{
    size_t length = 0;
    const char *text = anl_diagnostics_text(list, span.file, &length), *at = text, *end = text ? text + length : NULL;
    int line = 1, column = span.column > 0 ? span.column : 1;
    for (; at && line < span.line; line++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    int start_column = column, end_line = span.line, end_column = column + span.length;
    if (at) {
        start_column = 1;
        for (int i = 1; i < column && at < end; i++, at++)
            start_column += ((unsigned char)*at & 0xC0) != 0x80;
        end_column = start_column;
        for (int i = 0; i < span.length && at < end; i++, at++) {
            end_column = *at == '\n' ? 1 : end_column + (((unsigned char)*at & 0xC0) != 0x80);
            end_line += *at == '\n';
        }
    }
    anl_json_object(json, key);
    anl_json_integer(json, "startLine", span.line);
    anl_json_integer(json, "startColumn", start_column);
    anl_json_integer(json, "endLine", end_line);
    anl_json_integer(json, "endColumn", end_column);
    anl_json_object_end(json);
}

/* A path as URI reference (RFC 3986). */
static char *uri_of(const char *path)
{
    anl_text text = {0};
    anl_text_add(&text, "");
    for (const unsigned char *c = (const unsigned char *)path; *c; c++)
        if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr("-._~/", *c))
            anl_text_addn(&text, (const char *)c, 1);
        else
            anl_text_printf(&text, "%%%02X", *c);
    return text.data;
}

static void sarif_artifact(anl_json *json, const char *file)
{
    anl_json_object(json, "artifactLocation");
    char *uri = uri_of(file);
    anl_json_string(json, "uri", uri);
    free(uri);
    anl_json_object_end(json);
}

static void sarif_location(anl_json *json, const anl_diagnostics *list, anl_span span, const char *message)
{
    anl_json_object(json, NULL);
    anl_json_object(json, "physicalLocation");
    sarif_artifact(json, span.file);
    if (span.line > 0) {
        span.length = span.length > 0 ? span.length : 1;
        sarif_region(json, "region", list, span);
    }
    anl_json_object_end(json);
    if (message) {
        anl_json_object(json, "message");
        anl_json_string(json, "text", message);
        anl_json_object_end(json);
    }
    anl_json_object_end(json);
}

static void sarif_text(anl_json *json, const char *key, const char *text)
{
    anl_json_object(json, key);
    anl_json_string(json, "text", text);
    anl_json_object_end(json);
}

static bool found(const anl_diagnostics *list, anl_code code)
{
    for (int i = 0; i < anl_diagnostics_count(list); i++)
        if (anl_diagnostics_get(list, i)->code == code)
            return true;
    return false;
}

static void sarif_rules(anl_json *json, const anl_diagnostics *list, const char *(*about)(anl_code code))
{
    anl_json_array(json, "rules");
    for (int i = 0; anl_code_at(i); i++) {
        anl_code code = anl_code_at(i);
        char text[16];
        if (!found(list, code))
            continue;
        anl_json_object(json, NULL);
        anl_json_string(json, "id", code_text(code, text));
        anl_json_string(json, "name", anl_code_name(code));
        const char *page = about ? about(code) : NULL;
        if (page) {
            const char *stop = strchr(page, '\n');
            char *title = strndup(page, stop ? (size_t)(stop - page) : strlen(page));
            sarif_text(json, "shortDescription", title);
            free(title);
            anl_json_object(json, "help");
            anl_json_string(json, "text", page);
            anl_json_string(json, "markdown", page);
            anl_json_object_end(json);
        }
        anl_json_object(json, "defaultConfiguration");
        anl_json_string(json, "level", anl_severity_word(anl_code_severity(code)));
        anl_json_object_end(json);
        anl_json_object_end(json);
    }
    anl_json_array_end(json);
}

static void sarif_fix(anl_json *json, const anl_diagnostics *list, const anl_fix *fix)
{
    anl_json_object(json, NULL);
    anl_json_object(json, "description");
    anl_json_string(json, "text", fix->title);
    anl_json_object_end(json);
    anl_json_array(json, "artifactChanges");
    for (int i = 0; i < fix->edit_count; i++) { /* one change for each edit: a fix seldom has two */
        anl_json_object(json, NULL);
        sarif_artifact(json, fix->edits[i].span.file);
        anl_json_array(json, "replacements");
        anl_json_object(json, NULL);
        sarif_region(json, "deletedRegion", list, fix->edits[i].span);
        sarif_text(json, "insertedContent", fix->edits[i].text);
        anl_json_object_end(json);
        anl_json_array_end(json);
        anl_json_object_end(json);
    }
    anl_json_array_end(json);
    anl_json_object_end(json);
}

static bool placed(const anl_fix *fix)
{
    for (int i = 0; i < fix->edit_count; i++)
        if (!fix->edits[i].span.file || fix->edits[i].span.line < 1)
            return false;
    return fix->edit_count > 0 && fix->applicability != ANL_FIX_PLACEHOLDERS; /* a program that applies it would leave the placeholders */
}

static void sarif_result(anl_json *json, const anl_diagnostics *list, const anl_diagnostic *d)
{
    char code[16];
    anl_json_object(json, NULL);
    anl_json_string(json, "ruleId", code_text(d->code, code));
    anl_json_string(json, "level", anl_severity_word(d->severity));
    anl_text message = {0};
    anl_text_add(&message, d->message);
    for (int i = 0; i < d->note_count; i++)
        anl_text_printf(&message, "\n%s", d->notes[i]);
    if (d->suggestion)
        anl_text_printf(&message, "\n%s", d->suggestion);
    sarif_text(json, "message", message.data);
    anl_text_free(&message);
    if (d->span.file) {
        anl_json_array(json, "locations");
        sarif_location(json, list, d->span, NULL);
        anl_json_array_end(json);
    }
    bool labels = false;
    for (int i = 0; i < d->label_count; i++) {
        if (!d->labels[i].span.file)
            continue;
        if (!labels)
            anl_json_array(json, "relatedLocations");
        labels = true;
        sarif_location(json, list, d->labels[i].span, d->labels[i].text);
    }
    if (labels)
        anl_json_array_end(json);
    bool fixes = false;
    for (int i = 0; i < d->fix_count; i++) {
        if (!placed(&d->fixes[i]))
            continue;
        if (!fixes)
            anl_json_array(json, "fixes");
        fixes = true;
        sarif_fix(json, list, &d->fixes[i]);
    }
    if (fixes)
        anl_json_array_end(json);
    anl_json_object_end(json);
}

static void write_sarif(anl_json *json, const anl_diagnostic **items, const anl_diagnostics *list, const char *(*about)(anl_code code))
{
    anl_json_object(json, NULL);
    anl_json_string(json, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
    anl_json_string(json, "version", "2.1.0");
    anl_json_array(json, "runs");
    anl_json_object(json, NULL);
    anl_json_object(json, "tool");
    anl_json_object(json, "driver");
    anl_json_string(json, "name", "anlage");
    anl_json_string(json, "version", ANL_VERSION);
    sarif_rules(json, list, about);
    anl_json_object_end(json);
    anl_json_object_end(json);
    anl_json_string(json, "columnKind", "unicodeCodePoints");
    anl_json_array(json, "results");
    for (int i = 0; i < anl_diagnostics_count(list); i++)
        sarif_result(json, list, items[i]);
    anl_json_array_end(json);
    anl_json_object_end(json);
    anl_json_array_end(json);
    anl_json_object_end(json);
}

/* ---- GitHub ---- */

/* Text of a workflow command: `%` and line ends are encoded, in properties also `:` and `,`. */
static void github_text(FILE *out, const char *text, bool property)
{
    for (; *text; text++)
        if (*text == '%' || *text == '\n' || *text == '\r' || (property && (*text == ':' || *text == ',')))
            fprintf(out, "%%%02X", (unsigned char)*text);
        else
            fputc(*text, out);
}

static void github_diagnostic(FILE *out, const anl_diagnostic *d)
{
    fprintf(out, "::%s ", d->severity == ANL_NOTE ? "notice" : anl_severity_word(d->severity));
    if (d->span.file) {
        fputs("file=", out);
        github_text(out, d->span.file, true);
        if (d->span.line > 0)
            fprintf(out, ",line=%d,col=%d,endColumn=%d", d->span.line, d->span.column > 0 ? d->span.column : 1,
                    (d->span.column > 0 ? d->span.column : 1) + (d->span.length > 0 ? d->span.length : 1));
        fputc(',', out);
    }
    fprintf(out, "title=A%04d %s::", d->code, anl_code_name(d->code));
    github_text(out, d->message, false);
    if (d->suggestion) {
        fputs("%0A", out);
        github_text(out, d->suggestion, false);
    }
    fputc('\n', out);
}

void anl_diagnostics_write(const anl_diagnostics *list, anl_report_format format, const char *(*about)(anl_code code), FILE *out)
{
    if (format == ANL_REPORT_TEXT) {
        anl_diagnostics_print(list, out, false);
        return;
    }
    const anl_diagnostic **items = anl_diagnostics_sorted(list);
    if (format == ANL_REPORT_GITHUB) {
        for (int i = 0; i < anl_diagnostics_count(list); i++)
            github_diagnostic(out, items[i]);
    } else {
        anl_text text = {0};
        anl_json json = {.text = &text, .pretty = true};
        if (format == ANL_REPORT_JSON)
            write_json(&json, items, list);
        else
            write_sarif(&json, items, list, about);
        fwrite(text.data, 1, text.length, out);
        fputc('\n', out);
        anl_text_free(&text);
    }
    free(items);
}
