/* Texts as the Language Server Protocol sees them: positions in UTF-16 units, lines that end in three ways, URIs.
 * In: UTF-8 texts, byte offsets, paths. Out: positions and URIs, and the way back.
 * No state: usable from several threads at once. */
#ifndef ANLAGE_LSP_TEXT_H
#define ANLAGE_LSP_TEXT_H

#include <anlage/diagnostic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lsp_position {
    int line, character; /* from 0 */
} lsp_position;

typedef struct lsp_range {
    lsp_position start, end;
} lsp_range;

typedef enum lsp_encoding { LSP_UTF16, LSP_UTF8 } lsp_encoding;

/* Places beyond a line's end are its end, beyond the text's end its end; inside a character, its first byte. */
size_t lsp_offset(const char *text, size_t length, lsp_position at, lsp_encoding encoding);
lsp_position lsp_position_of(const char *text, size_t length, size_t offset, lsp_encoding encoding);
/* Where a place of the engine (lines that end with \n, columns in bytes) lies in a text; an offset within it. */
size_t lsp_span_start(const char *text, size_t length, anl_span span);
lsp_range lsp_range_of(const char *text, size_t length, anl_span span, lsp_encoding encoding);

/* "file:///a/b%20c.yaml" <-> "/a/b c.yaml". Other schemes stand for themselves as paths. To be freed. */
char *lsp_path_of(const char *uri);
char *lsp_uri_of(const char *path);
/* The text with U+FFFD for every byte that is no UTF-8: JSON takes nothing else. To be freed. */
char *lsp_clean(const char *text);

#endif
