/* Shared ground of every layer: status codes, spans, memory arenas, text.
 * In: nothing. Out: types that all other layers use.
 * No file in base/ knows of specs, graphs or devices. */
#ifndef ANL_BASE_BASE_H
#define ANL_BASE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <anlage/status.h>

#define ANL_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define ANL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- arena: memory that is freed all at once. Not thread-safe. ---- */
typedef struct anl_arena anl_arena;
anl_arena *anl_arena_new(void);
/* The same, for what is known to become large: its first block has this many bytes. */
anl_arena *anl_arena_new_sized(size_t bytes);
size_t anl_arena_bytes(const anl_arena *arena); /* in use */
void anl_arena_free(anl_arena **arena);
/* Zeroed memory, aligned to 16 bytes. Never NULL: metadata is small, and when even that cannot be had the
 * process says so and exits with status 3 (tensors and images are allocated elsewhere, with a status). */
void *anl_arena_alloc(anl_arena *arena, size_t bytes);
char *anl_arena_copy(anl_arena *arena, const char *text, size_t length); /* copy of length bytes, NUL-terminated */
char *anl_arena_text(anl_arena *arena, const char *text);                /* copy of a NUL-terminated text */
char *anl_arena_printf(anl_arena *arena, const char *format, ...) ANL_PRINTF(2, 3);
#define ANL_NEW(arena, type) ((type *)anl_arena_alloc((arena), sizeof(type)))
#define ANL_NEW_ARRAY(arena, type, count) ((type *)anl_arena_alloc((arena), sizeof(type) * (size_t)(count)))

/* Growable arrays in an arena: ANL_PUSH(arena, list, count, capacity, item). Old blocks stay in the arena. */
void *anl_arena_grow(anl_arena *arena, void *list, int count, int *capacity, size_t item_bytes);
#define ANL_PUSH(arena, list, count, capacity, item)                                                         \
    do {                                                                                                      \
        if ((count) == (capacity))                                                                            \
            (list) = anl_arena_grow((arena), (list), (count), &(capacity), sizeof *(list));                   \
        (list)[(count)++] = (item);                                                                           \
    } while (0)

/* Whether names are alike: most differ in their first character, and tracing asks a million times. */
/* The next name of a list with commas, without the blanks around it, and *at behind it; NULL: there is none left. */
const char *anl_list_next(const char **at, size_t *length);
static inline bool anl_same(const char *a, const char *b) { return a[0] == b[0] && !strcmp(a, b); }

/* ---- lookup: texts to pointers. Keys are not copied; they live as long as the lookup. Start with zeros. ---- */
typedef struct anl_lookup {
    struct anl_lookup_slot {
        const char *key;
        void *value;
    } *slots;
    int count, capacity; /* a power of two */
} anl_lookup;
void *anl_lookup_find(const anl_lookup *lookup, const char *key); /* NULL: not there */
void anl_lookup_add(anl_arena *arena, anl_lookup *lookup, const char *key, void *value); /* the key is not there yet */

/* malloc that never returns NULL (exits with status 3 and a message); for small bookkeeping only. */
void *anl_malloc(size_t bytes);
void *anl_realloc(void *memory, size_t bytes);

/* ---- text builder ---- */
typedef struct anl_text {
    char *data; /* NUL-terminated; owned */
    size_t length, capacity;
} anl_text;
void anl_text_add(anl_text *text, const char *string);
void anl_text_addn(anl_text *text, const char *bytes, size_t length);
void anl_text_printf(anl_text *text, const char *format, ...) ANL_PRINTF(2, 3);
void anl_text_vprintf(anl_text *text, const char *format, va_list args);
void anl_text_free(anl_text *text);

/* Bytes for people: "512 B", "172.9 MiB". */
void anl_bytes_text(double bytes, char out[32]);
/* A number of bytes with a unit: B (or none), KiB, MiB, GiB, TiB, kB, MB, GB, TB. *end: what follows it. -1: it is none. */
int64_t anl_bytes_parse(const char *text, const char **end);

/* Edit distance (insert, delete, substitute, swap of neighbours), bytes; for did-you-mean. */
int anl_edit_distance(const char *a, const char *b);
/* The nearest of `count` candidates that is near enough to be meant (at most a third of the length away), or NULL. */
const char *anl_nearest(const char *word, const char *const *candidates, int count);
/* Shell-style match with * and ? ; `*` also matches dots. */
bool anl_glob_match(const char *pattern, const char *text);
bool anl_utf8_valid(const char *text, size_t length, size_t *bad_offset);

/* ---- hashing ---- */
uint64_t anl_hash(const void *bytes, size_t length, uint64_t seed); /* 64-bit, stable over versions and machines */
uint64_t anl_hash_text(const char *text, uint64_t seed);
void anl_sha256(const void *bytes, size_t length, uint8_t digest[32]);
anl_status anl_sha256_file(const char *path, uint8_t digest[32]); /* ANL_ERROR_FILE: errno says why */
/* RFC 2104; what a secret key makes of a text that nobody can make, or try out, without it. */
void anl_hmac_sha256(const void *key, size_t key_length, const void *bytes, size_t length, uint8_t digest[32]);
void anl_hex(const uint8_t *bytes, size_t count, char *out); /* out: 2 * count + 1 */

/* ---- files ---- */
/* Whole file as text in the arena (NUL-terminated). At most limit bytes (0: 1 GiB). */
anl_status anl_file_read(anl_arena *arena, const char *path, size_t limit, char **text, size_t *length);
/* Writes path.tmp-PID, fsyncs, renames over path, fsyncs the folder. On failure path is untouched and errno says why. */
anl_status anl_file_write_atomic(const char *path, const void *bytes, size_t length);
/* Makes the rename durable for a temporary file written by someone else (HDF5): fsync temporary, rename, fsync folder. */
anl_status anl_file_commit(const char *temporary, const char *path);
anl_status anl_folder_make(const char *path); /* like mkdir -p */

#endif
