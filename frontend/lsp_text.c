/* Positions, URIs and clean texts for the Language Server Protocol.
 * In: UTF-8 texts, offsets, paths, URIs. Out: each other.
 * Texts need not be valid UTF-8: a byte that belongs to no character counts as one. */
#include "lsp_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

/* Bytes of the character that begins here: 1 where it is none. */
static size_t character_bytes(const unsigned char *at, size_t left)
{
    size_t bytes = at[0] < 0x80 ? 1 : at[0] >= 0xF0 && at[0] < 0xF5 ? 4 : at[0] >= 0xE0 ? 3 : at[0] >= 0xC2 ? 2 : 1;
    if (at[0] >= 0xF5 || bytes > left)
        return 1;
    for (size_t i = 1; i < bytes; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 1;
    bool overlong = (at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xF0 && at[1] < 0x90);
    bool outside = (at[0] == 0xED && at[1] > 0x9F) || (at[0] == 0xF4 && at[1] > 0x8F);
    return overlong || outside ? 1 : bytes;
}

static int units(size_t bytes, lsp_encoding encoding) { return encoding == LSP_UTF8 ? (int)bytes : bytes == 4 ? 2 : 1; }

/* \n, \r\n or \r at this offset: its bytes, or 0. */
static size_t line_break(const char *text, size_t length, size_t at)
{
    if (at >= length || (text[at] != '\n' && text[at] != '\r'))
        return 0;
    return text[at] == '\r' && at + 1 < length && text[at + 1] == '\n' ? 2 : 1;
}

size_t lsp_offset(const char *text, size_t length, lsp_position at, lsp_encoding encoding)
{
    size_t offset = 0;
    for (int line = 0; line < at.line; line++) {
        while (offset < length && !line_break(text, length, offset))
            offset++;
        if (offset == length)
            return length;
        offset += line_break(text, length, offset);
    }
    for (int character = 0; offset < length && !line_break(text, length, offset);) {
        size_t bytes = character_bytes((const unsigned char *)text + offset, length - offset);
        character += units(bytes, encoding);
        if (character > at.character)
            break;
        offset += bytes;
    }
    return offset;
}

lsp_position lsp_position_of(const char *text, size_t length, size_t offset, lsp_encoding encoding)
{
    lsp_position p = {0};
    size_t at = 0, line = 0;
    offset = offset < length ? offset : length;
    while (at < offset) {
        size_t end = line_break(text, length, at);
        if (end && at + end > offset) /* between \r and \n */
            break;
        at += end ? end : 1;
        if (end) {
            p.line++;
            line = at;
        }
    }
    for (at = line; at < offset && !line_break(text, length, at);) {
        size_t bytes = character_bytes((const unsigned char *)text + at, length - at);
        if (at + bytes > offset)
            break;
        p.character += units(bytes, encoding);
        at += bytes;
    }
    return p;
}

size_t lsp_span_start(const char *text, size_t length, anl_span span)
{
    const char *at = text, *end = text + length;
    for (int line = 1; line < span.line; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop)
            return length;
        at = stop + 1;
    }
    size_t offset = (size_t)(at - text) + (size_t)(span.column > 1 ? span.column - 1 : 0);
    return offset < length ? offset : length;
}

lsp_range lsp_range_of(const char *text, size_t length, anl_span span, lsp_encoding encoding)
{
    size_t start = lsp_span_start(text, length, span), bytes = span.length > 0 ? (size_t)span.length : 0;
    size_t stop = bytes < length - start ? start + bytes : length;
    return (lsp_range){lsp_position_of(text, length, start, encoding), lsp_position_of(text, length, stop, encoding)};
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *lsp_path_of(const char *uri)
{
    const char *at = uri;
    if (!strncmp(uri, "file://", 7)) {
        at = strchr(uri + 7, '/'); /* behind the host, which is usually empty */
        at = at ? at : uri + 7;
    }
    char *path = need_memory(strdup(at)), *to = path;
    for (const char *from = at; *from; from++) {
        int high = *from == '%' ? hex_digit(from[1]) : -1, low = high >= 0 ? hex_digit(from[2]) : -1;
        bool escape = low >= 0 && high + low > 0;
        *to++ = escape ? (char)(high * 16 + low) : *from;
        from += escape ? 2 : 0;
    }
    *to = 0;
    return path;
}

char *lsp_uri_of(const char *path)
{
    if (path[0] != '/') /* no file of the disk: the URI that the client gave it */
        return need_memory(strdup(path));
    char *uri = need_memory(malloc(7 + 3 * strlen(path) + 1)), *to = uri;
    to += sprintf(to, "file://");
    for (const unsigned char *c = (const unsigned char *)path; *c; c++)
        if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr("-._~/", *c))
            *to++ = (char)*c;
        else
            to += sprintf(to, "%%%02X", *c);
    *to = 0;
    return uri;
}

char *lsp_clean(const char *text)
{
    size_t length = strlen(text);
    char *clean = need_memory(malloc(3 * length + 1)), *to = clean;
    for (size_t at = 0; at < length;) {
        size_t bytes = character_bytes((const unsigned char *)text + at, length - at);
        bool bad = bytes == 1 && (text[at] & 0x80);
        memcpy(to, bad ? "\xEF\xBF\xBD" : text + at, bad ? 3 : bytes);
        to += bad ? 3 : bytes;
        at += bytes;
    }
    *to = 0;
    return clean;
}
