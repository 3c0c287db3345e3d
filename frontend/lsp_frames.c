/* Frames out of a stream of bytes.
 * In: bytes. Out: bodies, each NUL-terminated.
 * The protocol has no way back from a damaged header: what cannot be one is dropped up to the next that begins like one. */
#include "lsp_frames.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "command.h"

static const char length_name[] = "Content-Length:";

/* Drops what was taken, and makes room. One byte more than asked for: for the NUL behind a body. */
static void make_room(lsp_frames *f, size_t more)
{
    if (f->at) {
        memmove(f->data, f->data + f->at, f->length - f->at);
        f->length -= f->at;
        f->at = 0;
    }
    if (f->length + more + 1 <= f->capacity)
        return;
    f->capacity = 2 * (f->length + more) + 1;
    f->data = need_memory(realloc(f->data, f->capacity));
}

void lsp_frames_add(lsp_frames *f, const char *bytes, size_t length)
{
    size_t skipped = f->skip < length ? f->skip : length;
    f->skip -= skipped;
    bytes += skipped;
    length -= skipped;
    make_room(f, length);
    if (length)
        memcpy(f->data + f->length, bytes, length);
    f->length += length;
}

/* The end of the header block, behind its empty line; NULL: not there yet. Lines may end without a carriage return. */
static const char *header_end(const char *at, const char *end)
{
    for (const char *line = at; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop)
            return NULL;
        if (stop == line || (stop == line + 1 && *line == '\r'))
            return stop + 1;
        line = stop + 1;
    }
    return NULL;
}

/* The value of Content-Length. False: there is none, or it is no number. */
static bool content_length(const char *at, const char *end, size_t *out)
{
    const size_t name = sizeof length_name - 1;
    bool found = false;
    for (const char *line = at; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line)); /* the block ends with one */
        if ((size_t)(stop - line) > name && !strncasecmp(line, length_name, name)) {
            const char *digit = line + name;
            size_t value = 0;
            while (*digit == ' ' || *digit == '\t')
                digit++;
            found = *digit >= '0' && *digit <= '9';
            for (; *digit >= '0' && *digit <= '9' && value < ((size_t)1 << 50); digit++)
                value = value * 10 + (size_t)(*digit - '0');
            while (*digit == ' ' || *digit == '\t' || *digit == '\r')
                digit++;
            found = found && digit == stop;
            *out = value;
        }
        line = stop + 1;
    }
    return found;
}

/* Goes on where the next header may begin, or nearly at the end of what there is. */
static void pass_over(lsp_frames *f, size_t least)
{
    const size_t name = sizeof length_name - 1;
    size_t at = f->at + least;
    while (at < f->length && f->length - at >= name && strncasecmp(f->data + at, length_name, name))
        at++;
    if (f->length > at && f->length - at < name) { /* perhaps the beginning of one */
        while (at < f->length && strncasecmp(f->data + at, length_name, f->length - at))
            at++;
    }
    f->at = at < f->length ? at : f->length;
}

lsp_frame lsp_frames_next(lsp_frames *f, char **body, size_t *length)
{
    *body = NULL;
    *length = 0;
    if (f->skip || f->at == f->length)
        return LSP_FRAME_NONE;
    const char *from = f->data + f->at, *end = f->data + f->length;
    const char *behind = header_end(from, end - from > LSP_HEADER_LIMIT ? from + LSP_HEADER_LIMIT : end);
    if (!behind) {
        if (end - from < LSP_HEADER_LIMIT)
            return LSP_FRAME_NONE;
        snprintf(f->problem, sizeof f->problem, "no header of a message ends within %d bytes", LSP_HEADER_LIMIT);
        pass_over(f, 1);
        return LSP_FRAME_BAD;
    }
    size_t bytes = 0;
    if (!content_length(from, behind, &bytes)) {
        snprintf(f->problem, sizeof f->problem, "a message without a readable Content-Length");
        pass_over(f, (size_t)(behind - from));
        return LSP_FRAME_BAD;
    }
    size_t header = (size_t)(behind - from), there = (size_t)(end - behind);
    if (bytes > LSP_BODY_LIMIT) {
        snprintf(f->problem, sizeof f->problem, "a message of %zu bytes; at most %d MiB are read", bytes, LSP_BODY_LIMIT >> 20);
        size_t taken = there < bytes ? there : bytes;
        f->skip = bytes - taken;
        f->at += header + taken;
        return LSP_FRAME_BAD;
    }
    if (there < bytes) {
        make_room(f, bytes - there); /* once, not with every piece */
        return LSP_FRAME_NONE;
    }
    /* The NUL goes where the next frame begins: the body is moved over its header, which is taken. */
    memmove(f->data + f->at, behind, bytes);
    f->data[f->at + bytes] = 0;
    *body = f->data + f->at;
    *length = bytes;
    f->at += header + bytes;
    return LSP_FRAME_BODY;
}

void lsp_frames_free(lsp_frames *f)
{
    free(f->data);
    *f = (lsp_frames){0};
}
