/* Hashes: a fast 64-bit one for tables and cache keys, SHA-256 where content is identified.
 * In: bytes. Out: digests, the same on every machine (bytes are read little-endian, whatever the machine is).
 * The 64-bit hash is MurmurHash64A (A. Appleby, public domain); SHA-256 is OpenSSL's. */
#include "base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

uint64_t anl_hash(const void *bytes, size_t length, uint64_t seed)
{
    const uint64_t m = 0xC6A4A7935BD1E995u;
    const unsigned char *p = bytes;
    uint64_t h = seed ^ ((uint64_t)length * m);
    size_t rest = length;
    for (; rest >= 8; rest -= 8, p += 8) {
        uint64_t k;
        memcpy(&k, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        k = __builtin_bswap64(k);
#endif
        k *= m;
        k ^= k >> 47;
        k *= m;
        h ^= k;
        h *= m;
    }
    if (rest) {
        for (size_t i = 0; i < rest; i++)
            h ^= (uint64_t)p[i] << (8 * i);
        h *= m;
    }
    h ^= h >> 47;
    h *= m;
    h ^= h >> 47;
    return h;
}

uint64_t anl_hash_text(const char *text, uint64_t seed) { return anl_hash(text, strlen(text), seed); }

void anl_sha256(const void *bytes, size_t length, uint8_t digest[32]) { SHA256(bytes, length, digest); }

anl_status anl_sha256_file(const char *path, uint8_t digest[32])
{
    enum { BLOCK = 1 << 20 };
    FILE *file = fopen(path, "rb");
    if (!file)
        return ANL_ERROR_FILE;
    unsigned char *block = anl_malloc(BLOCK);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
    errno = good ? 0 : ENOMEM;
    for (size_t got; good && (got = fread(block, 1, BLOCK, file)) > 0;)
        good = EVP_DigestUpdate(context, block, got) == 1;
    good = good && !ferror(file) && EVP_DigestFinal_ex(context, digest, NULL) == 1;
    int reason = errno;
    EVP_MD_CTX_free(context);
    free(block);
    fclose(file);
    errno = reason;
    return good ? ANL_OK : ANL_ERROR_FILE;
}

void anl_hmac_sha256(const void *key, size_t key_length, const void *bytes, size_t length, uint8_t digest[32])
{
    unsigned int size = 32;
    HMAC(EVP_sha256(), key, (int)key_length, bytes, length, digest, &size);
}

void anl_hex(const uint8_t *bytes, size_t count, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * count] = 0;
}
