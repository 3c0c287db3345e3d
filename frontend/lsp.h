/* The language server's own structures, shared by its files.
 * In: nothing. Out: the server, its documents, and what the files ask of each other.
 * One thread: it reads, answers and checks in turn. */
#ifndef ANLAGE_LSP_H
#define ANLAGE_LSP_H

#include <anlage/editor.h>
#include <anlage/lint.h>

#include "command.h"
#include "lsp_text.h"

/* Until the client says exit, or goes. The exit status. */
int lsp_serve(void);

typedef struct cJSON cJSON;

typedef struct lsp_document {
    char *uri, *path;
    int version;
    bool has_version;
    bool spec;                    /* it is, or has been, a spec: other YAML is left in peace */
    bool dirty;                   /* what it says has changed since its last check */
    long long changed, first;     /* ms: last change, and first one since the last check */
    anl_diagnostics *diagnostics; /* of the last check; NULL: none yet */
} lsp_document;

typedef struct lsp_server {
    anl_editor *editor;
    lsp_document **documents;
    int document_count;
    char **folders; /* of the workspace, as real paths */
    int folder_count;
    text_list sets, data;
    char *assume;
    lsp_encoding encoding;
    struct lsp_published { /* what the client was told last, where it was not nothing */
        char *uri, *text;
    } * published;
    int published_count;
    bool related, tags, descriptions, snippets, plain; /* what the client can do; plain: no markdown */
} lsp_server;

/* What a request came to, besides its result. */
enum {
    LSP_PARSE_ERROR = -32700,
    LSP_INVALID_REQUEST = -32600,
    LSP_METHOD_NOT_FOUND = -32601,
    LSP_INVALID_PARAMS = -32602,
    LSP_NOT_INITIALIZED = -32002,
    LSP_REQUEST_CANCELLED = -32800,
    LSP_REQUEST_FAILED = -32803
};
typedef struct lsp_error {
    int code; /* 0: none */
    char message[512];
} lsp_error;

/* ---- lsp_server.c ---- */
void lsp_notify(const char *method, cJSON *params); /* takes params */
cJSON *lsp_fail(lsp_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
const cJSON *lsp_member(const cJSON *object, const char *name);  /* NULL: no object, or not there */
const char *lsp_string(const cJSON *object, const char *name);   /* NULL: no text */
void lsp_put(cJSON *object, const char *name, const char *text); /* whatever the text's bytes are */
cJSON *lsp_range_json(lsp_range range);
bool lsp_read_position(const cJSON *json, lsp_position *out);
/* The open document that params.textDocument names; NULL after an error. */
lsp_document *lsp_document_of(lsp_server *s, const cJSON *params, lsp_error *error);
/* The URI of a file, as the client calls it where it is open. To be freed. */
char *lsp_uri_for(const lsp_server *s, const char *file);
bool lsp_same_file(const char *a, const char *b);

/* ---- lsp_problems.c: checks, diagnostics, and the actions that come from them ---- */
void lsp_check(lsp_server *s, lsp_document *d);
void lsp_fresh(lsp_server *s, lsp_document *d); /* the same, where it has changed since */
/* Tells the client what has changed; checked documents in any case. */
void lsp_publish(lsp_server *s, const lsp_document *checked);
cJSON *lsp_code_action(lsp_server *s, const cJSON *params, lsp_error *error);

/* ---- lsp_features.c ---- */
/* The edits that make one text of another. */
cJSON *lsp_replacement(const lsp_server *s, const char *before, size_t before_length, const char *after, size_t after_length);
cJSON *lsp_formatting(lsp_server *s, const cJSON *params, lsp_error *error);
cJSON *lsp_completion(lsp_server *s, const cJSON *params, lsp_error *error);
cJSON *lsp_hover(lsp_server *s, const cJSON *params, lsp_error *error);
cJSON *lsp_definition(lsp_server *s, const cJSON *params, lsp_error *error);
cJSON *lsp_references(lsp_server *s, const cJSON *params, lsp_error *error);
cJSON *lsp_prepare_rename(lsp_server *s, const cJSON *params, lsp_error *error);
cJSON *lsp_rename(lsp_server *s, const cJSON *params, lsp_error *error);
cJSON *lsp_document_symbol(lsp_server *s, const cJSON *params, lsp_error *error);

#endif
