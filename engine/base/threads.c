/* A pool of threads for data-parallel loops.
 * In: a count of independent chunks and a function. Out: the function was called once for each chunk.
 * Chunks are taken from one counter. The caller works too and does not wait for threads that slept through the loop. */
#include "base/threads.h"

#include "base/base.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* How often a thread looks before it sleeps: some 20 µs, for loops of one training step follow each other closely. */
enum { SPINS = 2000, MOST_THREADS = 256 };

typedef struct worker {
    anl_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct anl_pool {
    int threads; /* with the caller's */
    int spins;
    worker *workers;
    pthread_mutex_t lock; /* guards what follows, apart from the atomic reads while spinning */
    pthread_cond_t work, done;
    atomic_uint loop;  /* number of loops started */
    atomic_int active; /* workers inside the present loop */
    atomic_int next;   /* chunk to be taken next */
    bool open;         /* workers may still join the present loop */
    atomic_bool quit;
    int count;
    void (*fn)(void *context, int chunk, int thread);
    void *context;
};

static inline void pause_briefly(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#endif
}

/* Cores of the affinity mask, fewer where a control group limits processor time (containers). */
static int usable_cores(void)
{
    cpu_set_t set;
    int cores = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cores = CPU_COUNT(&set);
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (file) {
        long long quota, period;
        if (fscanf(file, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0) {
            long long limit = (quota + period - 1) / period;
            if (limit < cores)
                cores = (int)limit;
        }
        fclose(file);
    }
    return cores < 1 ? 1 : cores;
}

static void take_chunks(anl_pool *pool, int thread)
{
    for (;;) {
        int chunk = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (chunk >= pool->count)
            return;
        pool->fn(pool->context, chunk, thread);
    }
}

static void *work(void *argument)
{
    worker *self = argument;
    anl_pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        for (int i = 0; i < pool->spins; i++) {
            if (atomic_load_explicit(&pool->loop, memory_order_relaxed) != seen || atomic_load(&pool->quit))
                break;
            pause_briefly();
        }
        pthread_mutex_lock(&pool->lock);
        while (pool->loop == seen && !pool->quit)
            pthread_cond_wait(&pool->work, &pool->lock);
        if (pool->quit) {
            pthread_mutex_unlock(&pool->lock);
            return NULL;
        }
        seen = pool->loop;
        bool join = pool->open;
        if (join)
            pool->active++;
        pthread_mutex_unlock(&pool->lock);
        if (!join)
            continue;
        take_chunks(pool, self->index);
        pthread_mutex_lock(&pool->lock);
        if (--pool->active == 0 && !pool->open)
            pthread_cond_signal(&pool->done);
        pthread_mutex_unlock(&pool->lock);
    }
}

anl_pool *anl_pool_new(int threads)
{
    int cores = usable_cores();
    if (threads <= 0)
        threads = cores;
    if (threads > MOST_THREADS)
        threads = MOST_THREADS;
    anl_pool *pool = anl_malloc(sizeof *pool);
    *pool = (anl_pool){.threads = 1, .spins = threads <= cores ? SPINS : 0};
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->workers = anl_malloc(sizeof *pool->workers * (size_t)threads);
    for (int i = 1; i < threads; i++) {
        worker *w = &pool->workers[i];
        *w = (worker){.pool = pool, .index = i};
        if (pthread_create(&w->thread, NULL, work, w) != 0)
            break; /* fewer threads are slower, not wrong */
        pool->threads = i + 1;
    }
    return pool;
}

void anl_pool_free(anl_pool **pool)
{
    if (!pool || !*pool)
        return;
    anl_pool *p = *pool;
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (int i = 1; i < p->threads; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p);
    *pool = NULL;
}

int anl_pool_threads(const anl_pool *pool) { return pool ? pool->threads : 1; }

void anl_parallel(anl_pool *pool, int count, void (*fn)(void *context, int chunk, int thread), void *context)
{
    if (!pool || pool->threads == 1 || count <= 1) {
        for (int i = 0; i < count; i++)
            fn(context, i, 0);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->fn = fn;
    pool->context = context;
    pool->count = count;
    pool->next = 0;
    pool->open = true;
    pool->loop++;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);

    take_chunks(pool, 0);

    pthread_mutex_lock(&pool->lock);
    pool->open = false;
    if (pool->active && pool->spins) {
        pthread_mutex_unlock(&pool->lock);
        for (int i = 0; i < pool->spins && atomic_load_explicit(&pool->active, memory_order_relaxed); i++)
            pause_briefly();
        pthread_mutex_lock(&pool->lock);
    }
    while (pool->active)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}
