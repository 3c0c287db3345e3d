/* Batches in order, read ahead by threads.
 * In: a data set, a seed, the step to start from. Out: batch after batch, the same ones for any number of threads.
 * One thread goes ahead and looks up where coming samples lie, so that the disk has many requests at a time; the others each
 * take the next step and fill that step's slot of a ring; the consumer waits for the slot of its step. */
#include <anlage/dataset.h>
#include <anlage/diagnostic_codes.h>

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base.h"
#include "data/set.h"

/* How far the disk is told ahead of what is being filled. A few dozen requests keep a solid-state disk busy. */
enum { WINDOW_BYTES = 32 << 20, WINDOW_SAMPLES = 512 };

/* Where the samples of a step lie. */
typedef struct plan {
    bool ready;
    int64_t *samples; /* [batch] */
    int valid, located;
    anl_located *places; /* [located], to be let go */
    double *labels;      /* of all places */
    anl_status status;
    anl_diagnostics *diagnostics; /* why, where status is not ANL_OK */
} plan;

typedef enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY } slot_state;

typedef struct slot {
    slot_state state;
    anl_batch batch;
    anl_status status;
    anl_diagnostics *diagnostics; /* why, where status is not ANL_OK */
} slot;

struct anl_loader {
    anl_dataset *dataset;
    int batch, field_count, slot_count, plan_count, thread_count, started;
    uint64_t seed;
    bool ordered;
    int64_t count, steps_per_epoch;
    int64_t last; /* steps of an ordered pass; INT64_MAX without end */
    size_t *values_per_sample;
    slot *slots; /* of step s: slots[s % slot_count] */
    plan *plans; /* of step s: plans[s % plan_count] */
    pthread_t *threads;
    double waited;
    /* Under the mutex: */
    pthread_mutex_t mutex;
    pthread_cond_t free_plan, work, ready;
    int64_t next_plan, next_fill, next_take;
    int lent; /* slot the consumer holds, or -1 */
    bool stop;
    anl_status failed; /* sticky */
};

/* Samples of a step. Returns how many are real. */
static int choose_samples(const anl_loader *l, int64_t step, int64_t *samples)
{
    int valid = l->batch;
    if (l->ordered) {
        int64_t first = step * l->batch;
        if (l->count - first < valid)
            valid = (int)(l->count - first);
        for (int i = 0; i < l->batch; i++)
            samples[i] = first + (i < valid ? i : valid - 1);
    } else {
        int64_t epoch = step / l->steps_per_epoch, first = step % l->steps_per_epoch * l->batch;
        for (int i = 0; i < l->batch; i++)
            samples[i] = anl_dataset_draw(l->dataset, epoch, first + i, l->seed);
    }
    return valid;
}

/* ---- the thread that goes ahead ---- */

static void make_plan(anl_loader *l, plan *p, int64_t step)
{
    p->valid = choose_samples(l, step, p->samples);
    p->status = ANL_OK;
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    for (p->located = 0; p->located < p->valid && p->status == ANL_OK; p->located++)
        p->status = anl_set_locate(l->dataset, p->samples[p->located], &p->places[p->located], diagnostics);
    if (p->status == ANL_OK)
        anl_diagnostics_free(&diagnostics);
    else
        p->diagnostics = diagnostics;
}

static void let_go(anl_loader *l, plan *p)
{
    for (int i = 0; i < p->located; i++)
        anl_set_let_go(l->dataset, &p->places[i]);
    p->located = 0;
}

static void *go_ahead(void *context)
{
    anl_loader *l = context;
    pthread_mutex_lock(&l->mutex);
    while (!l->stop && l->next_plan < l->last) {
        plan *p = &l->plans[l->next_plan % l->plan_count];
        if (p->ready) {
            pthread_cond_wait(&l->free_plan, &l->mutex);
            continue;
        }
        int64_t step = l->next_plan;
        pthread_mutex_unlock(&l->mutex);
        make_plan(l, p, step);
        pthread_mutex_lock(&l->mutex);
        p->ready = true;
        l->next_plan++;
        pthread_cond_broadcast(&l->work);
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* ---- the threads that fill ---- */

static void fill(anl_loader *l, slot *s, plan *p, int64_t step, anl_room *room)
{
    anl_batch *batch = &s->batch;
    batch->step = step;
    batch->valid = p->valid;
    memcpy(batch->samples, p->samples, sizeof *p->samples * (size_t)l->batch);
    s->status = p->status;
    s->diagnostics = p->diagnostics;
    p->diagnostics = NULL;
    if (s->status != ANL_OK)
        return;
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    for (int i = 0; i < l->batch && s->status == ANL_OK; i++) {
        room->filled = false;
        for (int f = 0; f < l->field_count && s->status == ANL_OK; f++) {
            size_t n = l->values_per_sample[f];
            float *values = batch->values[f] + n * (size_t)i, *mask = batch->masks[f] ? batch->masks[f] + n * (size_t)i : NULL;
            if (i >= batch->valid) { /* padding repeats the last real sample */
                memcpy(values, values - n, sizeof(float) * n);
                if (mask)
                    memcpy(mask, mask - n, sizeof(float) * n);
            } else
                s->status = anl_set_fetch(l->dataset, &p->places[i], room, f, values, mask, diagnostics);
        }
    }
    if (s->status == ANL_OK)
        anl_diagnostics_free(&diagnostics);
    else
        s->diagnostics = diagnostics;
}

static void *work(void *context)
{
    anl_loader *l = context;
    anl_room room = {0};
    pthread_mutex_lock(&l->mutex);
    while (!l->stop && l->next_fill < l->last) {
        int64_t step = l->next_fill;
        slot *s = &l->slots[step % l->slot_count];
        plan *p = &l->plans[step % l->plan_count];
        if (s->state != SLOT_FREE || step >= l->next_plan) {
            pthread_cond_wait(&l->work, &l->mutex);
            continue;
        }
        l->next_fill++;
        s->state = SLOT_FILLING;
        pthread_mutex_unlock(&l->mutex);
        fill(l, s, p, step, &room);
        let_go(l, p);
        pthread_mutex_lock(&l->mutex);
        p->ready = false;
        s->state = SLOT_READY;
        pthread_cond_signal(&l->free_plan);
        pthread_cond_signal(&l->ready);
    }
    /* The others wait for work that may never come: the last step is taken. */
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->mutex);
    anl_room_free(&room);
    return NULL;
}

/* ---- making and freeing ---- */

static anl_status no_memory(anl_diagnostics *diagnostics, const char *what)
{
    anl_diagnostic *d = anl_diagnose(diagnostics, ANL_A_device_memory, (anl_span){0}, "not enough memory for %s", what);
    anl_diagnostic_note(diagnostics, d, "a smaller batch or image size needs less");
    return ANL_ERROR_MEMORY;
}

static anl_status make_plans(anl_loader *l, anl_diagnostics *diagnostics)
{
    const size_t batch = (size_t)l->batch, columns = l->dataset->label_count;
    for (int i = 0; i < l->plan_count; i++) {
        plan *p = &l->plans[i];
        p->samples = calloc(batch, sizeof *p->samples);
        p->places = calloc(batch, sizeof *p->places);
        p->labels = calloc(batch * columns + 1, sizeof *p->labels);
        if (!p->samples || !p->places || !p->labels)
            return no_memory(diagnostics, "the places of samples to read");
        for (size_t k = 0; k < batch; k++)
            p->places[k].labels = p->labels + k * columns;
    }
    return ANL_OK;
}

static anl_status make_slots(anl_loader *l, anl_diagnostics *diagnostics)
{
    size_t most = SIZE_MAX / sizeof(float) / (size_t)l->batch;
    for (int i = 0; i < l->slot_count; i++) {
        anl_batch *b = &l->slots[i].batch;
        b->samples = calloc((size_t)l->batch, sizeof *b->samples);
        b->values = calloc((size_t)l->field_count + 1, sizeof *b->values);
        b->masks = calloc((size_t)l->field_count + 1, sizeof *b->masks);
        if (!b->samples || !b->values || !b->masks)
            return no_memory(diagnostics, "the batches read ahead");
        for (int f = 0; f < l->field_count; f++) {
            size_t n = l->values_per_sample[f];
            if (n > most)
                return no_memory(diagnostics, "the batches read ahead");
            b->values[f] = malloc(sizeof(float) * n * (size_t)l->batch);
            if (anl_dataset_field(l->dataset, f)->has_mask)
                b->masks[f] = malloc(sizeof(float) * n * (size_t)l->batch);
            if (!b->values[f] || (anl_dataset_field(l->dataset, f)->has_mask && !b->masks[f]))
                return no_memory(diagnostics, "the batches read ahead");
        }
    }
    return ANL_OK;
}

anl_status anl_loader_new(anl_dataset *dataset, const anl_loader_options *options, anl_diagnostics *diagnostics, anl_loader **out)
{
    *out = NULL;
    if (options->batch < 1 || options->first_step < 0 || options->ahead < 0 || options->threads < 0) {
        anl_diagnose(diagnostics, ANL_A_out_of_range, (anl_span){0},
                     "a loader needs a batch of at least 1, and no negative numbers");
        return ANL_ERROR_ARGUMENT;
    }
    int64_t count = anl_dataset_count(dataset);
    if (count < (options->ordered ? 1 : options->batch)) {
        anl_diagnostic *problem =
            options->ordered ? anl_diagnose(diagnostics, ANL_A_data_too_small, (anl_span){0}, "the data set has no samples")
                             : anl_diagnose(diagnostics, ANL_A_data_too_small, (anl_span){0},
                                            "the data set has %lld sample%s, fewer than one batch of %d", (long long)count,
                                            count == 1 ? "" : "s", options->batch);
        anl_diagnostic_note(diagnostics, problem,
                            options->ordered ? "`labels: {drop: true}` leaves out samples without labels: perhaps none has one"
                                             : "use a smaller batch, or pack more images");
        return ANL_ERROR_ARGUMENT;
    }
    anl_loader *l = anl_malloc(sizeof *l);
    memset(l, 0, sizeof *l);
    l->dataset = dataset;
    l->batch = options->batch;
    l->seed = options->seed;
    l->ordered = options->ordered;
    l->count = count;
    l->steps_per_epoch = count / options->batch;
    l->last = options->ordered ? (count + options->batch - 1) / options->batch : INT64_MAX;
    l->field_count = anl_dataset_field_count(dataset);
    l->thread_count = options->threads > 0 ? options->threads : 1;
    l->slot_count = (options->ahead > 0 ? options->ahead : 4) + 1; /* one more for the batch that is lent out */
    const double step_bytes = (double)dataset->sample_bytes * options->batch;
    const int by_bytes = (int)fmin(WINDOW_BYTES / step_bytes, WINDOW_SAMPLES), by_samples = WINDOW_SAMPLES / options->batch,
              window = by_bytes < by_samples ? by_bytes : by_samples;
    l->plan_count = l->thread_count + (window > 1 ? window : 1);
    l->next_plan = l->next_fill = l->next_take = options->first_step;
    l->lent = -1;
    l->values_per_sample = anl_malloc(sizeof(size_t) * ((size_t)l->field_count + 1));
    for (int f = 0; f < l->field_count; f++) {
        const anl_field *field = anl_dataset_field(dataset, f);
        l->values_per_sample[f] = 1;
        for (int a = 0; a < field->rank; a++)
            l->values_per_sample[f] *= (size_t)field->size[a];
    }
    l->slots = anl_malloc(sizeof *l->slots * (size_t)l->slot_count);
    memset(l->slots, 0, sizeof *l->slots * (size_t)l->slot_count);
    l->plans = anl_malloc(sizeof *l->plans * (size_t)l->plan_count);
    memset(l->plans, 0, sizeof *l->plans * (size_t)l->plan_count);
    l->threads = anl_malloc(sizeof *l->threads * ((size_t)l->thread_count + 1));
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->free_plan, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, NULL);
    anl_status status = make_slots(l, diagnostics);
    if (status == ANL_OK)
        status = make_plans(l, diagnostics);
    if (status == ANL_OK) {
        /* Signals are for the thread that trains. */
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        while (l->started < l->thread_count + 1 &&
               pthread_create(&l->threads[l->started], NULL, l->started ? work : go_ahead, l) == 0)
            l->started++;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (l->started < 2) /* with fewer than asked for it goes on, only slower */
            status = no_memory(diagnostics, "a thread that reads ahead");
    }
    if (status == ANL_OK)
        *out = l;
    else
        anl_loader_free(&l);
    return status;
}

void anl_loader_free(anl_loader **loader)
{
    anl_loader *l = *loader;
    if (!l)
        return;
    pthread_mutex_lock(&l->mutex);
    l->stop = true;
    pthread_cond_signal(&l->free_plan);
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->mutex);
    for (int t = 0; t < l->started; t++)
        pthread_join(l->threads[t], NULL);
    for (int i = 0; i < l->slot_count; i++) {
        anl_batch *b = &l->slots[i].batch;
        for (int f = 0; f < l->field_count; f++) {
            if (b->values)
                free(b->values[f]);
            if (b->masks)
                free(b->masks[f]);
        }
        free(b->values);
        free(b->masks);
        free(b->samples);
        anl_diagnostics_free(&l->slots[i].diagnostics);
    }
    for (int i = 0; i < l->plan_count; i++) {
        plan *p = &l->plans[i];
        let_go(l, p);
        free(p->samples);
        free(p->places);
        free(p->labels);
        anl_diagnostics_free(&p->diagnostics);
    }
    pthread_cond_destroy(&l->ready);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->free_plan);
    pthread_mutex_destroy(&l->mutex);
    free(l->slots);
    free(l->plans);
    free(l->threads);
    free(l->values_per_sample);
    free(l);
    *loader = NULL;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Hands the problems of a filling thread on to the caller's list. */
static void copy_diagnostics(const anl_diagnostics *from, anl_diagnostics *to)
{
    for (int i = 0; i < anl_diagnostics_count(from); i++) {
        const anl_diagnostic *d = anl_diagnostics_get(from, i);
        anl_diagnostic *copy = anl_diagnose(to, d->code, d->span, "%s", d->message);
        for (int n = 0; n < d->note_count; n++)
            anl_diagnostic_note(to, copy, "%s", d->notes[n]);
        if (d->suggestion)
            anl_diagnostic_suggest(to, copy, "%s", d->suggestion);
    }
}

anl_status anl_loader_next(anl_loader *l, const anl_batch **batch, anl_diagnostics *diagnostics)
{
    *batch = NULL;
    pthread_mutex_lock(&l->mutex);
    if (l->lent >= 0) {
        l->slots[l->lent].state = SLOT_FREE;
        l->lent = -1;
        pthread_cond_broadcast(&l->work);
    }
    anl_status status = l->failed;
    if (status == ANL_OK && l->next_take < l->last) {
        int index = (int)(l->next_take % l->slot_count);
        slot *s = &l->slots[index];
        if (s->state != SLOT_READY) {
            double began = seconds();
            while (s->state != SLOT_READY)
                pthread_cond_wait(&l->ready, &l->mutex);
            l->waited += seconds() - began;
        }
        status = s->status;
        if (status == ANL_OK) {
            l->next_take++;
            l->lent = index;
            *batch = &s->batch;
        } else {
            copy_diagnostics(s->diagnostics, diagnostics);
            l->failed = status;
            l->stop = true;
            pthread_cond_signal(&l->free_plan);
            pthread_cond_broadcast(&l->work);
        }
    } else if (status != ANL_OK)
        anl_diagnose(diagnostics, ANL_A_shard_invalid, (anl_span){0}, "reading the data has failed before");
    pthread_mutex_unlock(&l->mutex);
    return status;
}

double anl_loader_waited(const anl_loader *loader) { return loader->waited; }
