/* Arenas, small allocations that cannot fail, and the text builder.
 * In: sizes and formats. Out: memory that lives as long as its arena, or owned texts.
 * Metadata only: running out of it ends the process with a message; tensors and images are allocated elsewhere. */
#include "base/base.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FIRST_BLOCK ((size_t)16 << 10)
#define LARGEST_BLOCK ((size_t)4 << 20)
#define HUGE_PAGE ((size_t)2 << 20)
#define ALIGNMENT ((size_t)16)
#define SPARE_BYTES ((size_t)64 << 20)

typedef struct block {
    struct block *next;
    size_t used, size; /* of the bytes that follow */
    bool mapped;       /* straight from the kernel */
    _Alignas(16) unsigned char bytes[];
} block;

struct anl_arena {
    block *blocks; /* the newest first: only it is filled further */
    size_t next_size;
};

static void *need(void *memory, size_t bytes)
{
    if (!memory) {
        fprintf(stderr, "anlage: out of memory (%zu bytes of bookkeeping)\n", bytes);
        exit(3);
    }
    return memory;
}

void *anl_malloc(size_t bytes) { return need(malloc(bytes ? bytes : 1), bytes); }

void *anl_realloc(void *memory, size_t bytes) { return need(realloc(memory, bytes ? bytes : 1), bytes); }

anl_arena *anl_arena_new(void)
{
    anl_arena *arena = need(calloc(1, sizeof *arena), sizeof *arena);
    arena->next_size = FIRST_BLOCK;
    return arena;
}

anl_arena *anl_arena_new_sized(size_t bytes)
{
    anl_arena *arena = anl_arena_new();
    while (arena->next_size < bytes && arena->next_size < LARGEST_BLOCK)
        arena->next_size *= 2;
    return arena;
}

size_t anl_arena_bytes(const anl_arena *arena)
{
    size_t bytes = 0;
    for (const block *b = arena->blocks; b; b = b->next)
        bytes += b->used;
    return bytes;
}

/* Large blocks of arenas that are gone: graph follows graph, and to clear what was used of a block that is at hand costs a fraction of
 * having the kernel clear fresh pages. It is cleared when it is taken again: the last ones never are. */
static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
static block *spare;
static size_t spare_bytes;

static bool keep_spare(block *b)
{
#ifdef __SANITIZE_ADDRESS__
    return false; /* so that what is used after its time is noticed */
#endif
    if (b->size > 2 * LARGEST_BLOCK)
        return false;
    pthread_mutex_lock(&spare_lock);
    bool kept = spare_bytes + b->size <= SPARE_BYTES;
    if (kept) {
        spare_bytes += b->size;
        b->next = spare;
        spare = b;
    }
    pthread_mutex_unlock(&spare_lock);
    return kept;
}

static block *take_spare(size_t size)
{
    pthread_mutex_lock(&spare_lock);
    block **at = &spare, *found = NULL;
    while (*at && (*at)->size < size)
        at = &(*at)->next;
    if (*at) {
        found = *at;
        *at = found->next;
        spare_bytes -= found->size;
    }
    pthread_mutex_unlock(&spare_lock);
    if (found) {
        memset(found->bytes, 0, found->used);
        found->used = 0;
    }
    return found;
}

void anl_arena_free(anl_arena **arena)
{
    if (!arena || !*arena)
        return;
    for (block *b = (*arena)->blocks, *next; b; b = next) {
        next = b->next;
        if (!b->mapped)
            free(b);
        else if (!keep_spare(b))
            munmap(b, sizeof *b + b->size);
    }
    free(*arena);
    *arena = NULL;
}

static block *add_block(size_t size)
{
    /* What is large comes from the kernel in huge pages, where it has them: a graph of thousands of nodes would cost a page fault
     * every ten nodes. Its start is aligned for that; what lies before and behind is given back. */
    if (size >= HUGE_PAGE && size < SIZE_MAX / 2) {
        block *kept = take_spare(size);
        if (kept)
            return kept;
        size_t whole = (sizeof(block) + size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
        unsigned char *mapped = mmap(NULL, whole + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        need(mapped == MAP_FAILED ? NULL : mapped, size);
        size_t before = (HUGE_PAGE - ((uintptr_t)mapped & (HUGE_PAGE - 1))) & (HUGE_PAGE - 1);
        if (before)
            munmap(mapped, before);
        if (before < HUGE_PAGE)
            munmap(mapped + before + whole, HUGE_PAGE - before);
        madvise(mapped + before, whole, MADV_HUGEPAGE);
        block *b = (block *)(mapped + before);
        b->size = whole - sizeof *b;
        b->mapped = true;
        return b;
    }
    /* calloc: fresh pages come zeroed from the kernel without being touched */
    block *b = size > SIZE_MAX - sizeof *b ? NULL : calloc(1, sizeof *b + size);
    need(b, size);
    b->size = size;
    return b;
}

void *anl_arena_alloc(anl_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        need(NULL, bytes);
    bytes = bytes ? (bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1) : ALIGNMENT;

    block *b = arena->blocks;
    if (b && b->size - b->used >= bytes) {
        void *memory = b->bytes + b->used;
        b->used += bytes;
        return memory;
    }
    if (bytes > arena->next_size / 4) {
        /* A large piece gets a block of its own behind the newest, which keeps its free rest. */
        block *own = add_block(bytes);
        own->used = bytes;
        if (b) {
            own->next = b->next;
            b->next = own;
        } else {
            arena->blocks = own;
        }
        return own->bytes;
    }
    block *fresh = add_block(arena->next_size);
    if (arena->next_size < LARGEST_BLOCK)
        arena->next_size *= 2;
    fresh->next = b;
    fresh->used = bytes;
    arena->blocks = fresh;
    return fresh->bytes;
}

/* ---- lookup ---- */
static uint64_t slot_of(const anl_lookup *lookup, const char *key)
{
    uint64_t mask = (uint64_t)lookup->capacity - 1, slot = anl_hash_text(key, 0) & mask;
    while (lookup->slots[slot].key && strcmp(lookup->slots[slot].key, key))
        slot = (slot + 1) & mask;
    return slot;
}

void *anl_lookup_find(const anl_lookup *lookup, const char *key)
{
    return lookup->count ? lookup->slots[slot_of(lookup, key)].value : NULL;
}

void anl_lookup_add(anl_arena *arena, anl_lookup *lookup, const char *key, void *value)
{
    if (2 * (lookup->count + 1) > lookup->capacity) {
        anl_lookup grown = {.capacity = lookup->capacity ? 2 * lookup->capacity : 64, .count = lookup->count};
        grown.slots = ANL_NEW_ARRAY(arena, struct anl_lookup_slot, grown.capacity);
        for (int i = 0; i < lookup->capacity; i++)
            if (lookup->slots[i].key)
                grown.slots[slot_of(&grown, lookup->slots[i].key)] = lookup->slots[i];
        *lookup = grown;
    }
    lookup->slots[slot_of(lookup, key)] = (struct anl_lookup_slot){key, value};
    lookup->count++;
}

char *anl_arena_copy(anl_arena *arena, const char *text, size_t length)
{
    char *copy = anl_arena_alloc(arena, length + 1);
    if (length)
        memcpy(copy, text, length);
    return copy;
}

char *anl_arena_text(anl_arena *arena, const char *text) { return anl_arena_copy(arena, text, strlen(text)); }

char *anl_arena_printf(anl_arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = anl_arena_alloc(arena, (size_t)(length < 0 ? 0 : length) + 1);
    if (length > 0)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

void *anl_arena_grow(anl_arena *arena, void *list, int count, int *capacity, size_t item_bytes)
{
    int wanted = *capacity < 4 ? 8 : *capacity > INT_MAX / 2 ? INT_MAX : *capacity * 2;
    if (wanted <= count || (size_t)wanted > SIZE_MAX / 2 / item_bytes)
        need(NULL, item_bytes);
    void *grown = anl_arena_alloc(arena, (size_t)wanted * item_bytes);
    if (count)
        memcpy(grown, list, (size_t)count * item_bytes);
    *capacity = wanted;
    return grown;
}

/* ---- text builder ---- */

static void reserve(anl_text *text, size_t more)
{
    if (more >= SIZE_MAX / 4 - text->length)
        need(NULL, more);
    size_t wanted = text->length + more + 1;
    if (wanted <= text->capacity)
        return;
    size_t capacity = text->capacity ? text->capacity : 64;
    while (capacity < wanted)
        capacity *= 2;
    text->data = anl_realloc(text->data, capacity);
    text->capacity = capacity;
}

void anl_text_addn(anl_text *text, const char *bytes, size_t length)
{
    reserve(text, length);
    if (length)
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = 0;
}

void anl_text_add(anl_text *text, const char *string) { anl_text_addn(text, string, strlen(string)); }

void anl_text_vprintf(anl_text *text, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    reserve(text, length < 0 ? 0 : (size_t)length);
    if (length > 0)
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
    va_end(again);
    text->length += length < 0 ? 0 : (size_t)length;
    text->data[text->length] = 0;
}

void anl_text_printf(anl_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    anl_text_vprintf(text, format, args);
    va_end(args);
}

void anl_text_free(anl_text *text)
{
    free(text->data);
    *text = (anl_text){0};
}
