/* A mutator that knows what a spec looks like: words and lines are exchanged, left out, repeated and moved, more often than bytes.
 * In: a text, libFuzzer's seed. Out: the changed text.
 * Half of the changes are libFuzzer's own, which brings in the words of its dictionary. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(unsigned char *data, size_t size, size_t limit);
size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t size, size_t limit, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const unsigned char *a, size_t a_size, const unsigned char *b, size_t b_size, unsigned char *out, size_t limit,
                                 unsigned seed);

typedef struct piece {
    size_t start, length;
} piece;

static unsigned next(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static size_t below(unsigned *seed, size_t count) { return count ? next(seed) % count : 0; }

static int in_word(unsigned char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

/* The word at or behind a random place; length 0: there is none. */
static piece word_of(const unsigned char *text, size_t size, unsigned *seed)
{
    size_t at = below(seed, size);
    while (at < size && !in_word(text[at]))
        at++;
    while (at > 0 && at < size && in_word(text[at - 1]))
        at--;
    piece word = {at, 0};
    while (at + word.length < size && in_word(text[at + word.length]))
        word.length++;
    return word;
}

/* A line with its end. */
static piece line_of(const unsigned char *text, size_t size, unsigned *seed)
{
    size_t at = below(seed, size);
    while (at > 0 && text[at - 1] != '\n')
        at--;
    piece line = {at, 0};
    while (at + line.length < size && text[at + line.length] != '\n')
        line.length++;
    line.length += at + line.length < size;
    return line;
}

/* out = a with the piece replaced by bytes of b. */
static size_t replaced(const unsigned char *a, size_t size, piece old, const unsigned char *with, size_t length, unsigned char *out, size_t limit)
{
    if (size - old.length + length > limit)
        return 0;
    memcpy(out, a, old.start);
    memcpy(out + old.start, with, length);
    memcpy(out + old.start + length, a + old.start + old.length, size - old.start - old.length);
    return size - old.length + length;
}

size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t size, size_t limit, unsigned seed)
{
    if (size < 8 || next(&seed) % 2)
        return LLVMFuzzerMutate(data, size, limit);
    unsigned char *copy = malloc(size);
    memcpy(copy, data, size);
    piece a = word_of(copy, size, &seed), b = word_of(copy, size, &seed), l = line_of(copy, size, &seed), k = line_of(copy, size, &seed);
    size_t made = 0;
    switch (next(&seed) % 6) {
    case 0:
    case 1: /* a word for another */
        made = replaced(copy, size, a, copy + b.start, b.length, data, limit);
        break;
    case 2: /* a line less */
        made = replaced(copy, size, l, copy, 0, data, limit);
        break;
    case 3: /* a line again, elsewhere */
        made = replaced(copy, size, (piece){l.start, 0}, copy + k.start, k.length, data, limit);
        break;
    case 4: /* a line moved */
        made = next(&seed) % 2 || copy[l.start] != ' ' ? replaced(copy, size, (piece){l.start, 0}, (const unsigned char *)"  ", 1 + next(&seed) % 2, data, limit)
                                                      : replaced(copy, size, (piece){l.start, 1}, copy, 0, data, limit);
        break;
    default: /* a line for another */
        made = replaced(copy, size, l, copy + k.start, k.length, data, limit);
    }
    if (!made)
        memcpy(data, copy, size);
    free(copy);
    return made ? made : size;
}

/* A line of one text in another. */
size_t LLVMFuzzerCustomCrossOver(const unsigned char *a, size_t a_size, const unsigned char *b, size_t b_size, unsigned char *out, size_t limit,
                                 unsigned seed)
{
    piece l = line_of(a, a_size, &seed), k = line_of(b, b_size, &seed);
    return replaced(a, a_size, (piece){l.start, 0}, b + k.start, k.length, out, limit);
}
