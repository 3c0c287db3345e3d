/* The language server: reads messages, keeps the documents, hands requests to those who answer, and checks when typing pauses.
 * In: standard input. Out: standard output; the exit status.
 * Bad input of any kind is answered or passed over; nothing here waits for the client but the one poll. */
#include "lsp.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lsp_frames.h"
#include "version.h"

enum { PAUSE_MS = 120, LONGEST_MS = 500, PIECE = 4096, AHEAD = 1000, LAST_MS = 2000 };

typedef struct message {
    cJSON *json;
    bool cancelled;
} message;

/* The connection: one a process. */
static struct wire {
    lsp_frames frames;
    char *out; /* what the client has not taken yet */
    size_t out_length, out_at;
    message *queue;
    int count;
    bool ready, shut_down, ended, closed, broken, watches;
} wire;

/* ---- JSON ---- */

static void *allocate(size_t bytes) { return need_memory(malloc(bytes)); }

const cJSON *lsp_member(const cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

const char *lsp_string(const cJSON *object, const char *name) { return cJSON_GetStringValue(lsp_member(object, name)); }

void lsp_put(cJSON *object, const char *name, const char *text)
{
    char *clean = lsp_clean(text);
    cJSON_AddStringToObject(object, name, clean);
    free(clean);
}

static cJSON *position_json(lsp_position p)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "line", p.line);
    cJSON_AddNumberToObject(json, "character", p.character);
    return json;
}

cJSON *lsp_range_json(lsp_range range)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToObject(json, "start", position_json(range.start));
    cJSON_AddItemToObject(json, "end", position_json(range.end));
    return json;
}

bool lsp_read_position(const cJSON *json, lsp_position *out)
{
    const cJSON *line = lsp_member(json, "line"), *character = lsp_member(json, "character");
    if (!cJSON_IsNumber(line) || !cJSON_IsNumber(character) || line->valuedouble < 0 || character->valuedouble < 0)
        return false;
    *out = (lsp_position){line->valueint, character->valueint};
    return true;
}

cJSON *lsp_fail(lsp_error *error, int code, const char *format, ...)
{
    va_list args;
    error->code = code;
    va_start(args, format);
    vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    return NULL;
}

/* ---- out ---- */

static void send_message(cJSON *json) /* takes it */
{
    cJSON_AddStringToObject(json, "jsonrpc", "2.0");
    char *text = need_memory(cJSON_PrintUnformatted(json)), header[64];
    size_t length = strlen(text), head = (size_t)snprintf(header, sizeof header, "Content-Length: %zu\r\n\r\n", length);
    if (wire.out_at) {
        memmove(wire.out, wire.out + wire.out_at, wire.out_length -= wire.out_at);
        wire.out_at = 0;
    }
    wire.out = need_memory(realloc(wire.out, wire.out_length + head + length));
    memcpy(wire.out + wire.out_length, header, head);
    memcpy(wire.out + wire.out_length + head, text, length);
    wire.out_length += head + length;
    cJSON_free(text);
    cJSON_Delete(json);
}

static void answer(const cJSON *id, cJSON *result, const lsp_error *error) /* takes result */
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToObject(json, "id", id ? cJSON_Duplicate(id, false) : cJSON_CreateNull());
    if (error->code) {
        cJSON *e = cJSON_AddObjectToObject(json, "error");
        cJSON_AddNumberToObject(e, "code", error->code);
        lsp_put(e, "message", error->message);
        cJSON_Delete(result);
    } else {
        cJSON_AddItemToObject(json, "result", result ? result : cJSON_CreateNull());
    }
    send_message(json);
}

static void refuse(const cJSON *id, int code, const char *text)
{
    lsp_error error = {0};
    lsp_fail(&error, code, "%s", text);
    answer(id, NULL, &error);
}

void lsp_notify(const char *method, cJSON *params)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "method", method);
    cJSON_AddItemToObject(json, "params", params);
    send_message(json);
}

/* As much as the client takes without waiting: a pipe that polls as writable takes this many bytes. */
static void write_piece(void)
{
    size_t left = wire.out_length - wire.out_at;
    ssize_t written = write(STDOUT_FILENO, wire.out + wire.out_at, left < PIECE ? left : PIECE);
    if (written > 0)
        wire.out_at += (size_t)written;
    else if (written < 0 && errno != EINTR && errno != EAGAIN)
        wire.ended = wire.broken = true; /* nobody reads any more */
}

/* ---- documents ---- */

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool lsp_same_file(const char *a, const char *b)
{
    if (!strcmp(a, b))
        return true;
    char *x = realpath(a, NULL), *y = x ? realpath(b, NULL) : NULL;
    bool same = x && y && !strcmp(x, y);
    free(x);
    free(y);
    return same;
}

static lsp_document *find_uri(lsp_server *s, const char *uri)
{
    for (int i = 0; i < s->document_count; i++)
        if (!strcmp(s->documents[i]->uri, uri))
            return s->documents[i];
    return NULL;
}

lsp_document *lsp_document_of(lsp_server *s, const cJSON *params, lsp_error *error)
{
    const char *uri = lsp_string(lsp_member(params, "textDocument"), "uri");
    lsp_document *d = uri ? find_uri(s, uri) : NULL;
    if (!uri)
        lsp_fail(error, LSP_INVALID_PARAMS, "textDocument.uri is missing");
    else if (!d)
        lsp_fail(error, LSP_INVALID_PARAMS, "no open document has the URI %.400s", uri);
    return d;
}

char *lsp_uri_for(const lsp_server *s, const char *file)
{
    for (int i = 0; i < s->document_count; i++)
        if (!strcmp(s->documents[i]->path, file))
            return need_memory(strdup(s->documents[i]->uri));
    for (int i = 0; i < s->document_count; i++)
        if (lsp_same_file(s->documents[i]->path, file))
            return need_memory(strdup(s->documents[i]->uri));
    char *real = realpath(file, NULL), *uri = lsp_uri_of(real ? real : file);
    free(real);
    return uri;
}

/* Whether a text says that it is a spec: a key `anlage` at the beginning of a line. */
static bool says_spec(const char *text, size_t length)
{
    static const char word[] = "anlage";
    for (const char *line = text, *end = text + length; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line)), *at = line + sizeof word - 1;
        stop = stop ? stop : end;
        if (at <= stop && !memcmp(line, word, sizeof word - 1)) {
            while (at < stop && *at == ' ')
                at++;
            if (at < stop && *at == ':')
                return true;
        }
        line = stop + 1;
    }
    return false;
}

/* A document has a new text. It, and all that read it, are to be checked. */
static void changed(lsp_server *s, lsp_document *d, const char *text, size_t length, bool at_once)
{
    anl_editor_open(s->editor, d->path, text, length);
    d->spec = d->spec || says_spec(text, length);
    long long now = now_ms();
    for (int i = 0; i < s->document_count; i++) {
        lsp_document *other = s->documents[i];
        if (!other->spec || (other != d && !anl_editor_reads(s->editor, other->path, d->path)))
            continue;
        if (!other->dirty)
            other->first = now;
        other->dirty = true;
        other->changed = at_once ? now - PAUSE_MS : now;
    }
}

/* Files on the disk have changed: whatever was read from there is read anew. */
static void refresh(lsp_server *s)
{
    anl_editor_refresh(s->editor);
    for (int i = 0; i < s->document_count; i++)
        if (s->documents[i]->spec && !s->documents[i]->dirty) {
            s->documents[i]->dirty = true;
            s->documents[i]->first = s->documents[i]->changed = now_ms();
        }
}

static void did_open(lsp_server *s, const cJSON *params)
{
    const cJSON *item = lsp_member(params, "textDocument"), *version = lsp_member(item, "version");
    const char *uri = lsp_string(item, "uri"), *text = lsp_string(item, "text"), *language = lsp_string(item, "languageId");
    if (!uri || !text)
        return;
    lsp_document *d = find_uri(s, uri);
    if (!d) {
        d = need_memory(calloc(1, sizeof *d));
        d->uri = need_memory(strdup(uri));
        d->path = lsp_path_of(uri);
        s->documents = need_memory(realloc(s->documents, sizeof *s->documents * (size_t)(s->document_count + 1)));
        s->documents[s->document_count++] = d;
    }
    d->has_version = cJSON_IsNumber(version);
    d->version = d->has_version ? version->valueint : 0;
    d->spec = d->spec || (language && !strcmp(language, "anlage"));
    changed(s, d, text, strlen(text), true);
}

static void did_change(lsp_server *s, const cJSON *params)
{
    lsp_error ignored = {0};
    lsp_document *d = lsp_document_of(s, params, &ignored);
    if (!d)
        return;
    size_t length = 0;
    const char *before = anl_editor_text(s->editor, d->path, &length);
    char *text = need_memory(malloc(length + 1));
    memcpy(text, before ? before : "", length);
    text[length] = 0;
    const cJSON *change;
    cJSON_ArrayForEach(change, lsp_member(params, "contentChanges"))
    {
        const char *fresh = lsp_string(change, "text");
        const cJSON *range = lsp_member(change, "range");
        lsp_position start, end;
        if (!fresh)
            continue;
        size_t from = 0, to = length, more = strlen(fresh);
        if (range) {
            if (!lsp_read_position(lsp_member(range, "start"), &start) || !lsp_read_position(lsp_member(range, "end"), &end))
                continue;
            from = lsp_offset(text, length, start, s->encoding);
            to = lsp_offset(text, length, end, s->encoding);
            to = to < from ? from : to;
        }
        char *next = need_memory(malloc(from + more + (length - to) + 1));
        memcpy(next, text, from);
        memcpy(next + from, fresh, more);
        memcpy(next + from + more, text + to, length - to + 1);
        length = from + more + length - to;
        free(text);
        text = next;
    }
    const cJSON *version = lsp_member(lsp_member(params, "textDocument"), "version");
    d->has_version = cJSON_IsNumber(version);
    d->version = d->has_version ? version->valueint : 0;
    changed(s, d, text, length, false);
    free(text);
}

static void did_close(lsp_server *s, const cJSON *params)
{
    lsp_error ignored = {0};
    lsp_document *d = lsp_document_of(s, params, &ignored);
    int at = 0;
    while (at < s->document_count && s->documents[at] != d)
        at++;
    if (!d)
        return;
    s->documents[at] = s->documents[--s->document_count];
    anl_editor_close(s->editor, d->path);
    anl_diagnostics_free(&d->diagnostics);
    free(d->uri);
    free(d->path);
    free(d);
    refresh(s); /* others that import it read the file again */
    lsp_publish(s, NULL);
}

static void did_save(lsp_server *s, const cJSON *params)
{
    (void)params;
    refresh(s);
}

/* ---- the beginning and the end ---- */

static void add_folder(lsp_server *s, const char *uri)
{
    char *path = lsp_path_of(uri), *real = realpath(path, NULL);
    if (real) {
        s->folders = need_memory(realloc(s->folders, sizeof *s->folders * (size_t)(s->folder_count + 1)));
        s->folders[s->folder_count++] = real;
    }
    free(path);
}

static void remove_folder(lsp_server *s, const char *uri)
{
    char *path = lsp_path_of(uri);
    for (int i = 0; i < s->folder_count; i++)
        if (lsp_same_file(s->folders[i], path)) {
            free(s->folders[i]);
            s->folders[i--] = s->folders[--s->folder_count];
        }
    free(path);
}

static void did_change_folders(lsp_server *s, const cJSON *params)
{
    const cJSON *event = lsp_member(params, "event"), *folder;
    cJSON_ArrayForEach(folder, lsp_member(event, "removed"))
    {
        if (lsp_string(folder, "uri"))
            remove_folder(s, lsp_string(folder, "uri"));
    }
    cJSON_ArrayForEach(folder, lsp_member(event, "added"))
    {
        if (lsp_string(folder, "uri"))
            add_folder(s, lsp_string(folder, "uri"));
    }
}

static void add_texts(text_list *list, const cJSON *array)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, array)
    {
        if (cJSON_IsString(item))
            list_add(list, need_memory(strdup(item->valuestring)));
    }
}

static bool holds(const cJSON *array, const char *word)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, array)
    {
        if (cJSON_IsString(item) && !strcmp(item->valuestring, word))
            return true;
    }
    return false;
}

static cJSON *texts(const char *const *words)
{
    cJSON *array = cJSON_CreateArray();
    for (; *words; words++)
        cJSON_AddItemToArray(array, cJSON_CreateString(*words));
    return array;
}

static cJSON *initialize(lsp_server *s, const cJSON *params, lsp_error *error)
{
    (void)error;
    const cJSON *client = lsp_member(params, "capabilities"), *document = lsp_member(client, "textDocument"), *folder;
    const cJSON *publish = lsp_member(document, "publishDiagnostics"), *options = lsp_member(params, "initializationOptions");
    s->encoding = holds(lsp_member(lsp_member(client, "general"), "positionEncodings"), "utf-8") ? LSP_UTF8 : LSP_UTF16;
    s->related = cJSON_IsTrue(lsp_member(publish, "relatedInformation"));
    s->tags = lsp_member(publish, "tagSupport") != NULL;
    s->descriptions = cJSON_IsTrue(lsp_member(publish, "codeDescriptionSupport"));
    const cJSON *formats = lsp_member(lsp_member(document, "hover"), "contentFormat");
    s->plain = cJSON_IsArray(formats) && !holds(formats, "markdown");
    wire.watches =
        cJSON_IsTrue(lsp_member(lsp_member(lsp_member(client, "workspace"), "didChangeWatchedFiles"), "dynamicRegistration"));
    const cJSON *folders = lsp_member(params, "workspaceFolders");
    cJSON_ArrayForEach(folder, folders)
    {
        if (lsp_string(folder, "uri"))
            add_folder(s, lsp_string(folder, "uri"));
    }
    if (!s->folder_count && lsp_string(params, "rootUri"))
        add_folder(s, lsp_string(params, "rootUri"));
    add_texts(&s->sets, lsp_member(options, "set"));
    add_texts(&s->data, lsp_member(options, "data"));
    if (lsp_string(options, "assume"))
        s->assume = need_memory(strdup(lsp_string(options, "assume")));
    wire.ready = true;

    cJSON *result = cJSON_CreateObject(), *can = cJSON_AddObjectToObject(result, "capabilities");
    cJSON_AddStringToObject(can, "positionEncoding", s->encoding == LSP_UTF8 ? "utf-8" : "utf-16");
    cJSON *sync = cJSON_AddObjectToObject(can, "textDocumentSync");
    cJSON_AddTrueToObject(sync, "openClose");
    cJSON_AddNumberToObject(sync, "change", 2); /* incremental; whole texts are taken too */
    cJSON_AddTrueToObject(sync, "save");
    cJSON *actions = cJSON_AddObjectToObject(can, "codeActionProvider");
    cJSON_AddItemToObject(actions, "codeActionKinds", texts((const char *const[]){"quickfix", "source.fixAll", NULL}));
    cJSON_AddItemToObject(cJSON_AddObjectToObject(can, "completionProvider"), "triggerCharacters",
                          texts((const char *const[]){".", "(", "[", "{", ",", "=", ":", " ", "/", NULL}));
    cJSON_AddTrueToObject(can, "definitionProvider");
    cJSON_AddTrueToObject(can, "documentFormattingProvider");
    cJSON_AddTrueToObject(can, "documentSymbolProvider");
    cJSON_AddTrueToObject(can, "hoverProvider");
    cJSON_AddTrueToObject(can, "referencesProvider");
    cJSON_AddTrueToObject(cJSON_AddObjectToObject(can, "renameProvider"), "prepareProvider");
    cJSON *workspace = cJSON_AddObjectToObject(can, "workspace"), *in = cJSON_AddObjectToObject(workspace, "workspaceFolders");
    cJSON_AddTrueToObject(in, "supported");
    cJSON_AddTrueToObject(in, "changeNotifications");
    cJSON *server = cJSON_AddObjectToObject(result, "serverInfo");
    cJSON_AddStringToObject(server, "name", "anlage");
    cJSON_AddStringToObject(server, "version", ANLAGE_VERSION);
    return result;
}

static void initialized(lsp_server *s, const cJSON *params)
{
    (void)s;
    (void)params;
    if (!wire.watches)
        return;
    cJSON *json = cJSON_CreateObject(), *registrations, *one = cJSON_CreateObject(), *watcher = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "id", "anlage-watch");
    cJSON_AddStringToObject(json, "method", "client/registerCapability");
    registrations = cJSON_AddArrayToObject(cJSON_AddObjectToObject(json, "params"), "registrations");
    cJSON_AddStringToObject(one, "id", "anlage-watch");
    cJSON_AddStringToObject(one, "method", "workspace/didChangeWatchedFiles");
    cJSON_AddItemToArray(cJSON_AddArrayToObject(cJSON_AddObjectToObject(one, "registerOptions"), "watchers"), watcher);
    cJSON_AddStringToObject(watcher, "globPattern", "**/*.{yaml,yml}");
    cJSON_AddItemToArray(registrations, one);
    send_message(json);
}

static cJSON *shut_down(lsp_server *s, const cJSON *params, lsp_error *error)
{
    (void)s;
    (void)params;
    (void)error;
    wire.shut_down = true;
    return NULL;
}

/* ---- dispatch ---- */

static const struct request {
    const char *method;
    cJSON *(*run)(lsp_server *s, const cJSON *params, lsp_error *error);
} requests[] = {
    {"initialize", initialize},
    {"shutdown", shut_down},
    {"textDocument/codeAction", lsp_code_action},
    {"textDocument/completion", lsp_completion},
    {"textDocument/definition", lsp_definition},
    {"textDocument/documentSymbol", lsp_document_symbol},
    {"textDocument/formatting", lsp_formatting},
    {"textDocument/hover", lsp_hover},
    {"textDocument/prepareRename", lsp_prepare_rename},
    {"textDocument/references", lsp_references},
    {"textDocument/rename", lsp_rename},
};

static const struct notification {
    const char *method;
    void (*run)(lsp_server *s, const cJSON *params);
} notifications[] = {
    {"initialized", initialized},
    {"textDocument/didOpen", did_open},
    {"textDocument/didChange", did_change},
    {"textDocument/didClose", did_close},
    {"textDocument/didSave", did_save},
    {"workspace/didChangeWatchedFiles", did_save},
    {"workspace/didChangeWorkspaceFolders", did_change_folders},
};

static void run_notification(lsp_server *s, const char *method, const cJSON *params)
{
    if (!strcmp(method, "exit")) {
        wire.ended = true;
        return;
    }
    for (size_t i = 0; wire.ready && !wire.shut_down && i < sizeof notifications / sizeof *notifications; i++)
        if (!strcmp(method, notifications[i].method))
            notifications[i].run(s, params);
}

static void run_request(lsp_server *s, const cJSON *id, const char *method, const cJSON *params)
{
    lsp_error error = {0};
    cJSON *result = NULL;
    size_t i = 0;
    while (i < sizeof requests / sizeof *requests && strcmp(method, requests[i].method))
        i++;
    bool beginning = requests[0].run == initialize && i == 0;
    if (wire.shut_down)
        lsp_fail(&error, LSP_INVALID_REQUEST, "the server has been shut down");
    else if (!wire.ready && !beginning)
        lsp_fail(&error, LSP_NOT_INITIALIZED, "the first request is initialize");
    else if (wire.ready && beginning)
        lsp_fail(&error, LSP_INVALID_REQUEST, "the server is initialized already");
    else if (i == sizeof requests / sizeof *requests)
        lsp_fail(&error, LSP_METHOD_NOT_FOUND, "no such method: %.200s", method);
    else
        result = requests[i].run(s, params, &error);
    answer(id, result, &error);
}

static void run_message(lsp_server *s, const message *m)
{
    const cJSON *id = lsp_member(m->json, "id"), *params = lsp_member(m->json, "params");
    const char *method = lsp_string(m->json, "method");
    if (id && !cJSON_IsString(id) && !cJSON_IsNumber(id))
        id = NULL;
    if (!cJSON_IsObject(m->json))
        refuse(NULL, LSP_INVALID_REQUEST, "a message is an object");
    else if (!method && (lsp_member(m->json, "result") || lsp_member(m->json, "error")))
        return; /* the answer to a request of ours */
    else if (!method)
        refuse(id, LSP_INVALID_REQUEST, "a message needs a method");
    else if (!id)
        run_notification(s, method, params);
    else if (m->cancelled)
        refuse(id, LSP_REQUEST_CANCELLED, "cancelled");
    else
        run_request(s, id, method, params);
}

/* ---- in ---- */

/* A request that was not begun yet is not begun any more. */
static void cancel(const cJSON *id)
{
    for (int i = 0; id && i < wire.count; i++)
        if (cJSON_Compare(lsp_member(wire.queue[i].json, "id"), id, true) && lsp_string(wire.queue[i].json, "method"))
            wire.queue[i].cancelled = true;
}

static void take_frames(void)
{
    char *body;
    size_t length;
    for (lsp_frame frame; (frame = lsp_frames_next(&wire.frames, &body, &length)) != LSP_FRAME_NONE;) {
        cJSON *json = frame == LSP_FRAME_BODY ? cJSON_ParseWithLength(body, length) : NULL;
        if (!json) {
            refuse(NULL, LSP_PARSE_ERROR, frame == LSP_FRAME_BODY ? "this is no JSON" : wire.frames.problem);
            continue;
        }
        const char *method = lsp_string(json, "method");
        if (method && !strcmp(method, "$/cancelRequest")) {
            cancel(lsp_member(lsp_member(json, "params"), "id"));
            cJSON_Delete(json);
            continue;
        }
        wire.queue = need_memory(realloc(wire.queue, sizeof *wire.queue * (size_t)(wire.count + 1)));
        wire.queue[wire.count++] = (message){json, false};
    }
}

static void read_piece(void)
{
    char bytes[65536];
    ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    if (got > 0) {
        lsp_frames_add(&wire.frames, bytes, (size_t)got);
        take_frames();
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        wire.closed = true;
    }
}

/* ---- checks ---- */

/* When a document is to be checked: after a pause in typing, but not only then. */
static long long due(const lsp_document *d)
{
    long long pause = d->changed + PAUSE_MS, longest = d->first + LONGEST_MS;
    return pause < longest ? pause : longest;
}

static lsp_document *first_due(lsp_server *s)
{
    lsp_document *first = NULL;
    for (int i = 0; i < s->document_count; i++)
        if (s->documents[i]->dirty && (!first || due(s->documents[i]) < due(first)))
            first = s->documents[i];
    return first;
}

static void serve(lsp_server *s)
{
    while (!wire.ended) {
        bool talks = wire.out_at < wire.out_length;
        lsp_document *next = wire.shut_down ? NULL : first_due(s);
        long long wait = next ? due(next) - now_ms() : -1;
        int timeout = wire.count || (next && wait <= 0) ? 0 : next ? (int)(wait < INT_MAX ? wait : INT_MAX) : -1;
        if (wire.closed && !talks && !wire.count)
            return;
        struct pollfd fds[2] = {{.fd = wire.closed ? -1 : STDIN_FILENO, .events = POLLIN},
                                {.fd = talks ? STDOUT_FILENO : -1, .events = POLLOUT}};
        if (poll(fds, 2, timeout) < 0 && errno != EINTR)
            return;
        if (fds[1].revents)
            write_piece();
        if (fds[0].revents && wire.count < AHEAD) {
            read_piece(); /* all that is there before the next answer: it may be cancelled */
            continue;
        }
        if (wire.count) {
            message m = wire.queue[0];
            memmove(wire.queue, wire.queue + 1, sizeof *wire.queue * (size_t)--wire.count);
            run_message(s, &m);
            cJSON_Delete(m.json);
        } else if (next && due(next) <= now_ms() && !wire.closed) {
            lsp_check(s, next);
            lsp_publish(s, next);
        }
    }
    struct pollfd last = {.fd = STDOUT_FILENO, .events = POLLOUT};
    while (wire.out_at < wire.out_length && !wire.broken && poll(&last, 1, LAST_MS) > 0)
        write_piece();
}

int lsp_serve(void)
{
    cJSON_Hooks hooks = {.malloc_fn = allocate, .free_fn = free};
    cJSON_InitHooks(&hooks);
    signal(SIGPIPE, SIG_IGN);
    lsp_server s = {.editor = anl_editor_new()};
    serve(&s);
    while (s.document_count) {
        lsp_document *d = s.documents[--s.document_count];
        anl_diagnostics_free(&d->diagnostics);
        free(d->uri);
        free(d->path);
        free(d);
    }
    free(s.documents);
    for (int i = 0; i < s.folder_count; i++)
        free(s.folders[i]);
    free(s.folders);
    for (int i = 0; i < s.published_count; i++) {
        free(s.published[i].uri);
        free(s.published[i].text);
    }
    free(s.published);
    for (int i = 0; i < s.sets.count; i++)
        free((char *)s.sets.items[i]);
    free(s.sets.items);
    for (int i = 0; i < s.data.count; i++)
        free((char *)s.data.items[i]);
    free(s.data.items);
    free(s.assume);
    for (int i = 0; i < wire.count; i++)
        cJSON_Delete(wire.queue[i].json);
    free(wire.queue);
    free(wire.out);
    lsp_frames_free(&wire.frames);
    anl_editor_free(&s.editor);
    return wire.shut_down ? EXIT_GOOD : EXIT_PROBLEMS;
}
