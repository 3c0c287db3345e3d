/* Files: whole-file reads with a limit, writes that are either complete or absent, folders.
 * In: paths and bytes. Out: texts in an arena, or durable files.
 * A power cut leaves the old file or the new one, never a part: temporary file, fsync, rename, fsync of the folder. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Closes without losing the reason of the failure before it. */
static void close_quietly(int file)
{
    int reason = errno;
    close(file);
    errno = reason;
}

static anl_status read_all(int file, size_t limit, char **out, size_t *out_length)
{
    size_t capacity = 1 << 16, length = 0;
    struct stat about;
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0 && (uintmax_t)about.st_size < limit)
        capacity = (size_t)about.st_size + 1; /* one more, to see the end without growing */
    char *bytes = malloc(capacity);
    if (!bytes)
        return ANL_ERROR_MEMORY;
    for (;;) {
        ssize_t got = read(file, bytes + length, capacity - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int reason = errno;
            free(bytes);
            errno = reason;
            return ANL_ERROR_FILE;
        }
        if (got == 0)
            break;
        length += (size_t)got;
        if (length > limit) {
            free(bytes);
            errno = EFBIG;
            return ANL_ERROR_LIMIT;
        }
        if (length == capacity) {
            char *grown = realloc(bytes, capacity *= 2);
            if (!grown) {
                free(bytes);
                errno = ENOMEM;
                return ANL_ERROR_MEMORY;
            }
            bytes = grown;
        }
    }
    *out = bytes;
    *out_length = length;
    return ANL_OK;
}

anl_status anl_file_read(anl_arena *arena, const char *path, size_t limit, char **text, size_t *length)
{
    *text = NULL;
    if (length)
        *length = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return ANL_ERROR_FILE;
    char *bytes = NULL;
    size_t count = 0;
    anl_status status = read_all(file, limit ? limit : (size_t)1 << 30, &bytes, &count);
    close_quietly(file);
    if (status != ANL_OK)
        return status;
    *text = anl_arena_copy(arena, bytes, count);
    if (length)
        *length = count;
    free(bytes);
    return ANL_OK;
}

/* Makes a rename durable. Some file systems cannot sync a folder and say EINVAL: there is nothing more to do then. */
static anl_status sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    char *folder = anl_malloc(length + 2);
    if (!slash)
        strcpy(folder, ".");
    else if (length == 0)
        strcpy(folder, "/");
    else {
        memcpy(folder, path, length);
        folder[length] = 0;
    }
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int reason = errno;
    free(folder);
    if (file < 0) {
        errno = reason;
        return reason == EACCES ? ANL_OK : ANL_ERROR_FILE; /* a folder one may write to but not read */
    }
    bool synced = fsync(file) == 0 || errno == EINVAL;
    close_quietly(file);
    return synced ? ANL_OK : ANL_ERROR_FILE;
}

anl_status anl_file_commit(const char *temporary, const char *path)
{
    int file = open(temporary, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return ANL_ERROR_FILE;
    bool synced = fsync(file) == 0;
    close_quietly(file);
    if (!synced || rename(temporary, path) != 0)
        return ANL_ERROR_FILE;
    return sync_folder_of(path);
}

anl_status anl_file_write_atomic(const char *path, const void *bytes, size_t length)
{
    size_t room = strlen(path) + 32;
    char *temporary = anl_malloc(room);
    snprintf(temporary, room, "%s.tmp-%ld", path, (long)getpid());

    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool good = file >= 0;
    const char *p = bytes;
    for (size_t rest = length; good && rest;) {
        ssize_t put = write(file, p, rest);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            if (put == 0)
                errno = EIO;
            good = false;
            break;
        }
        p += put;
        rest -= (size_t)put;
    }
    /* close() may be the first to report that a network file system is full */
    if (file >= 0) {
        if (good)
            good = fsync(file) == 0;
        if (good)
            good = close(file) == 0;
        else
            close_quietly(file);
    }
    bool renamed = good && rename(temporary, path) == 0;
    if (!renamed && file >= 0) {
        int reason = errno;
        unlink(temporary);
        errno = reason;
    }
    int reason = errno;
    free(temporary);
    errno = reason;
    return renamed ? sync_folder_of(path) : ANL_ERROR_FILE;
}

anl_status anl_folder_make(const char *path)
{
    size_t length = strlen(path);
    if (!length) {
        errno = ENOENT;
        return ANL_ERROR_FILE;
    }
    char *part = anl_malloc(length + 1);
    memcpy(part, path, length + 1);
    anl_status status = ANL_OK;
    for (size_t i = 1; status == ANL_OK && i <= length; i++) {
        if (part[i] != '/' && part[i] != 0)
            continue;
        char kept = part[i];
        part[i] = 0;
        struct stat about;
        if (mkdir(part, 0777) != 0) {
            int reason = errno;
            /* a folder that exists, or one that we may not make but need not (a read-only parent), is fine */
            if (stat(part, &about) != 0) {
                errno = reason;
                status = ANL_ERROR_FILE;
            } else if (!S_ISDIR(about.st_mode)) {
                errno = ENOTDIR;
                status = ANL_ERROR_FILE;
            }
        }
        part[i] = kept;
    }
    int reason = errno;
    free(part);
    errno = reason;
    return status;
}
