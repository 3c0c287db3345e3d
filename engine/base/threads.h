/* A pool of threads for data-parallel loops.
 * In: a count of independent chunks and a function. Out: the function was called once for each chunk.
 * Which thread runs a chunk is unspecified; results must not depend on it (give each chunk its own output). */
#ifndef ANL_BASE_THREADS_H
#define ANL_BASE_THREADS_H

typedef struct anl_pool anl_pool;
anl_pool *anl_pool_new(int threads); /* 0: one per core this process may use. Includes the caller's thread. */
void anl_pool_free(anl_pool **pool);
int anl_pool_threads(const anl_pool *pool);
/* Calls fn(context, chunk, thread) for chunk 0..count-1 and returns when all are done; thread is 0..threads-1.
 * Not reentrant: fn must not call anl_parallel on the same pool. pool NULL: runs in the caller. */
void anl_parallel(anl_pool *pool, int count, void (*fn)(void *context, int chunk, int thread), void *context);

#endif
