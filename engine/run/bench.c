/* Benchmarks: the speed of a recipe's training step, without shards.
 * In: a recipe, a device. Out: images per second (median), or seconds per kernel.
 * Fed with random images; feeding is part of the time, as in training. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "run/session.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static anl_status random_fields(anl_session *s, float ***values, float ***masks)
{
    *values = calloc((size_t)s->facts.field_count + 1, sizeof **values);
    *masks = calloc((size_t)s->facts.field_count + 1, sizeof **masks);
    for (int f = 0; f < s->facts.field_count; f++) {
        size_t count = (size_t)s->facts.batch;
        for (int a = 0; a < s->facts.fields[f].rank; a++)
            count *= (size_t)s->facts.fields[f].size[a];
        (*values)[f] = anl_malloc(count * sizeof(float));
        (*masks)[f] = anl_malloc(count * sizeof(float));
        bool image = s->facts.fields[f].rank > 1;
        for (size_t i = 0; i < count; i++) {
            uint32_t counter[4] = {(uint32_t)i, (uint32_t)f, 0, 0}, key[2] = {1, 2}, word[4];
            anl_philox(counter, key, word);
            double u = anl_philox_unit(word[0]);
            (*values)[f][i] = image ? (float)u : (float)(u < 0.5); /* labels are 0 or 1 */
            (*masks)[f][i] = 1;
        }
    }
    return ANL_OK;
}

static void free_fields(anl_session *s, float **values, float **masks)
{
    for (int f = 0; s && values && f < s->facts.field_count; f++) {
        free(values[f]);
        free(masks[f]);
    }
    free(values);
    free(masks);
}

static anl_status open_bench(const anl_run_source *source, int what, anl_diagnostics *diagnostics, anl_session **s, float ***values, float ***masks)
{
    anl_status status = anl_session_open(source, diagnostics, s);
    if (!status)
        status = anl_session_prepare(*s, source, what, 1000, NULL, 0, diagnostics);
    if (!status)
        status = anl_session_initialize(*s, diagnostics);
    if (!status)
        status = random_fields(*s, values, masks);
    return status;
}

static anl_status one_step(anl_session *s, anl_phase *phase, int64_t step, float **values, float **masks, anl_diagnostics *diagnostics)
{
    anl_status status = anl_session_feed(s, phase, values, masks, diagnostics);
    return status ? status : anl_session_step(s, phase, step, diagnostics);
}

anl_status anl_bench(const anl_run_source *source, int warmup, int steps, bool (*stop)(void *), void *context, anl_diagnostics *diagnostics,
                     anl_bench_result *out)
{
    *out = (anl_bench_result){0};
    warmup = warmup > 0 ? warmup : 3;
    steps = steps > 0 ? steps : 20;
    anl_session *s = NULL;
    float **values = NULL, **masks = NULL;
    double *times = anl_malloc(sizeof(double) * (size_t)steps), started = anl_seconds();
    anl_status status = open_bench(source, ANL_PREPARE_TRAIN, diagnostics, &s, &values, &masks);
    for (int i = 0; i < warmup + steps && !status; i++) {
        if (stop && stop(context)) {
            status = ANL_ERROR_STOPPED;
            break;
        }
        double begin = anl_seconds();
        status = one_step(s, anl_session_phase(s, i), i, values, masks, diagnostics);
        if (i >= warmup)
            times[i - warmup] = anl_seconds() - begin;
        else if (i == 0)
            out->prepare_seconds = anl_seconds() - started;
    }
    if (!status) {
        anl_phase *phase = anl_session_phase(s, warmup + steps - 1);
        int loss = anl_session_output(phase, "loss");
        if (loss >= 0)
            status = anl_session_fetch(s, phase, loss, warmup + steps - 1, &out->loss, diagnostics);
        qsort(times, (size_t)steps, sizeof *times, by_value);
        double median = 0.5 * (times[(steps - 1) / 2] + times[steps / 2]);
        out->batch = s->facts.batch;
        out->steps = steps;
        out->images_per_second = s->facts.batch / median;
        out->step_ms = 1e3 * median;
        out->fastest_ms = 1e3 * times[0];
        out->slowest_ms = 1e3 * times[steps - 1];
        out->device = strdup(anl_device_describe(s->device)->name);
    }
    free(times);
    free_fields(s, values, masks);
    anl_session_free(&s);
    return status;
}

typedef struct timed {
    int kernel;
    double seconds;
} timed;

static int slowest_first(const void *a, const void *b)
{
    const timed *x = a, *y = b;
    return x->seconds > y->seconds ? -1 : x->seconds < y->seconds ? 1 : x->kernel - y->kernel;
}

anl_status anl_profile_run(const anl_run_source *source, bool evaluate, int64_t step, anl_diagnostics *diagnostics, anl_profile *out)
{
    enum { WARMUP = 3, RUNS = 3 };
    *out = (anl_profile){0};
    float **values = NULL, **masks = NULL;
    anl_status status = open_bench(source, evaluate ? ANL_PREPARE_EVALUATE : ANL_PREPARE_TRAIN, diagnostics, &out->session, &values, &masks);
    anl_session *s = out->session;
    if (!status) {
        anl_phase *phase = out->phase = evaluate ? &s->evaluate : anl_session_phase(s, step);
        const anl_program *program = phase->program;
        double times[RUNS];
        double *runs = anl_malloc(sizeof(double) * (size_t)(RUNS * program->kernel_count + 1));
        double *scalars = anl_malloc(sizeof(double) * (size_t)(program->scalar_count + 1));
        out->seconds = anl_malloc(sizeof(double) * (size_t)(program->kernel_count + 1));
        for (int i = 0; i < WARMUP + RUNS && !status; i++) {
            double begin = anl_seconds();
            status = one_step(s, phase, step, values, masks, diagnostics);
            if (i >= WARMUP)
                times[i - WARMUP] = anl_seconds() - begin;
        }
        anl_program_scalars(program, step, s->epoch_steps, (double)s->total_steps, scalars);
        for (int i = 0; i < RUNS && !status; i++)
            status = anl_exec_profile(phase->exec, step, scalars, runs + (int64_t)i * program->kernel_count, diagnostics);
        for (int k = 0; k < program->kernel_count && !status; k++) {
            double of_kernel[RUNS];
            for (int i = 0; i < RUNS; i++)
                of_kernel[i] = runs[(int64_t)i * program->kernel_count + k];
            qsort(of_kernel, RUNS, sizeof *of_kernel, by_value);
            out->seconds[k] = of_kernel[RUNS / 2];
        }
        if (!status) {
            qsort(times, RUNS, sizeof *times, by_value);
            out->step = times[RUNS / 2];
        }
        free(runs);
        free(scalars);
    }
    free_fields(s, values, masks);
    return status;
}

void anl_profile_free(anl_profile *profile)
{
    free(profile->seconds);
    anl_session_free(&profile->session);
    *profile = (anl_profile){0};
}

anl_status anl_bench_kernels(const anl_run_source *source, FILE *out, anl_diagnostics *diagnostics)
{
    static const char *const kinds[] = {"map", "reduce", "contract"};
    anl_profile profile;
    anl_status status = anl_profile_run(source, false, 0, diagnostics, &profile);
    if (!status) {
        const anl_program *program = profile.phase->program;
        timed *order = anl_malloc(sizeof(timed) * (size_t)(program->kernel_count + 1));
        double sum = 0, kind_sum[3] = {0};
        for (int k = 0; k < program->kernel_count; k++) {
            order[k] = (timed){k, profile.seconds[k]};
            sum += profile.seconds[k];
            kind_sum[program->kernels[k].kind] += profile.seconds[k];
        }
        qsort(order, (size_t)program->kernel_count, sizeof *order, slowest_first);
        fprintf(out, "%s: %d kernels, %.2f ms: map %.2f, reduce %.2f, contract %.2f\n", anl_device_describe(profile.session->device)->name,
                program->kernel_count, 1e3 * sum, 1e3 * kind_sum[0], 1e3 * kind_sum[1], 1e3 * kind_sum[2]);
        fprintf(out, "%9s %6s %9s %8s  %-8s %s\n", "ms", "share", "GFLOP/s", "GB/s", "kind", "kernel");
        for (int i = 0; i < program->kernel_count; i++) {
            const anl_kernel *k = &program->kernels[order[i].kernel];
            double t = order[i].seconds > 0 ? order[i].seconds : 1e-9;
            fprintf(out, "%9.3f %5.1f%% %9.2f %8.2f  %-8s %4d %s\n", 1e3 * t, 100 * t / sum, 1e-9 * k->flops / t, 1e-9 * k->bytes / t,
                    kinds[k->kind], order[i].kernel, k->name);
        }
        free(order);
    }
    anl_profile_free(&profile);
    return status;
}
