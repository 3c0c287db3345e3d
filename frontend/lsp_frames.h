/* The frames of the Language Server Protocol: headers, an empty line, a body of Content-Length bytes.
 * In: bytes as they come, in any pieces. Out: bodies; what is no frame is named and passed over.
 * Knows nothing of JSON. Not thread-safe. */
#ifndef ANLAGE_LSP_FRAMES_H
#define ANLAGE_LSP_FRAMES_H

#include <stddef.h>

enum { LSP_HEADER_LIMIT = 4096, LSP_BODY_LIMIT = 64 << 20 };

typedef struct lsp_frames {
    char *data; /* what has come and was not taken yet */
    size_t length, capacity, at;
    size_t skip; /* bytes of a body that is too large, still to come */
    char problem[200];
} lsp_frames;

typedef enum lsp_frame {
    LSP_FRAME_NONE, /* more bytes are needed */
    LSP_FRAME_BODY,
    LSP_FRAME_BAD, /* something was passed over; problem says what */
} lsp_frame;

void lsp_frames_add(lsp_frames *frames, const char *bytes, size_t length);
/* The next frame. body: NUL-terminated, good until the next call of either function. */
lsp_frame lsp_frames_next(lsp_frames *frames, char **body, size_t *length);
void lsp_frames_free(lsp_frames *frames);

#endif
