/* The lock around the HDF5 library, and what the library says when a call fails.
 * In: threads that want to use HDF5. Out: one at a time, in silence, with reasons as text.
 * The one piece of process-wide state in the engine. */
#include "data/hdf5_lock.h"

#include <errno.h>
#include <hdf5.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A static lock, because what it guards is static, too: the library's own tables of open objects, of which a process has one set.
 * A lock in each data set would not keep two of them (or a checkpoint) from entering the library at once. What HDF5 would do on
 * an error is kept beside it while the lock is held. */
static struct {
    pthread_mutex_t mutex;
    int depth;
    H5E_auto2_t print;
    void *context;
    char inner[240], outer[160]; /* of the last call that failed */
    bool begun;
} library = {.mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};

static herr_t look(unsigned n, const H5E_error2_t *error, void *context)
{
    (void)context;
    const char *text = error->desc ? error->desc : "";
    if (n == 0) { /* of what the operating system refused, HDF5 tells at length; its reason is what matters */
        static const char mark[] = "error message = '";
        const char *reason = strstr(text, mark), *end = reason ? strchr(reason + sizeof mark - 1, '\'') : NULL;
        snprintf(library.inner, sizeof library.inner, "%.*s", end ? (int)(end - reason - (sizeof mark - 1)) : 239,
                 end ? reason + sizeof mark - 1 : text);
    }
    if (text[0])
        snprintf(library.outer, sizeof library.outer, "%s", text);
    return 0;
}

/* HDF5 calls this as a call fails. Later would be too late: the next call, closing what is still open, forgets the reason. */
static herr_t keep_reason(hid_t stack, void *context)
{
    (void)context;
    library.inner[0] = library.outer[0] = 0;
    H5Ewalk2(stack, H5E_WALK_UPWARD, look, NULL);
    return 0;
}

void anl_hdf5_lock(void)
{
    pthread_mutex_lock(&library.mutex);
    if (!library.begun) {
        /* A file that cannot be closed, for want of space, stays in the library's tables, and its handler at exit would crash on
         * it. Everything opened here is closed here: nothing is left for that handler to do. */
        H5dont_atexit();
        library.begun = true;
    }
    if (library.depth++ == 0) {
        library.inner[0] = library.outer[0] = 0;
        H5Eget_auto2(H5E_DEFAULT, &library.print, &library.context);
        H5Eset_auto2(H5E_DEFAULT, keep_reason, NULL);
    }
}

void anl_hdf5_unlock(void)
{
    int kept = errno;
    if (--library.depth == 0)
        H5Eset_auto2(H5E_DEFAULT, library.print, library.context);
    pthread_mutex_unlock(&library.mutex);
    errno = kept;
}

void anl_hdf5_reason(char *text, size_t size)
{
    if (!library.outer[0])
        snprintf(text, size, "HDF5 gives no reason");
    else if (strcmp(library.inner, library.outer) == 0 || !library.inner[0])
        snprintf(text, size, "%s", library.outer);
    else
        snprintf(text, size, "%s (%s)", library.outer, library.inner);
}
