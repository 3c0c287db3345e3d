/* Small specs run from text, for tests of known values: opened, fed, stepped and read on the host.
 * In: a spec's text. Out: values of nodes and states. Include once in a test; make `folder` with mkdtemp first. */
#ifndef ANL_TESTS_SPEC_FIXTURE_H
#define ANL_TESTS_SPEC_FIXTURE_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/session.h"

static char folder[] = "/tmp/anlage-known-XXXXXX"; /* of the spec */

typedef struct fixture {
    anl_session *session;
    anl_diagnostics *diagnostics;
    anl_phase *phase;
} fixture;

static inline void open_spec(fixture *f, const char *text, bool precise, const char *const *fetches, int fetch_count)
{
    char path[256];
    snprintf(path, sizeof path, "%s/spec.yaml", folder);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    f->diagnostics = anl_diagnostics_new();
    anl_run_source source = {.spec = path, .device = "host", .precise = precise};
    anl_status status = anl_session_open(&source, f->diagnostics, &f->session);
    if (!status)
        status = anl_session_prepare(f->session, &source, ANL_PREPARE_TRAIN, 10, fetches, fetch_count, f->diagnostics);
    if (!status)
        status = anl_session_initialize(f->session, f->diagnostics);
    if (status)
        anl_diagnostics_print(f->diagnostics, stderr, false);
    ck_assert_int_eq(status, ANL_OK);
    f->phase = anl_session_phase(f->session, 0);
}

/* fields: in the order in which the spec declares them. */
static inline void step_fields(fixture *f, int64_t at, float **values)
{
    float *masks[8] = {NULL};
    anl_status status = anl_session_feed(f->session, f->phase, values, masks, f->diagnostics);
    if (!status)
        status = anl_session_step(f->session, f->phase, at, f->diagnostics);
    if (status)
        anl_diagnostics_print(f->diagnostics, stderr, false);
    ck_assert_int_eq(status, ANL_OK);
}

static inline void step(fixture *f, int64_t at, float *field) { step_fields(f, at, &field); }

static inline void fetch(fixture *f, const char *name, int64_t count, double *out)
{
    int output = anl_session_output(f->phase, name);
    ck_assert_msg(output >= 0, "no output %s", name);
    ck_assert_int_eq(anl_port_count(&f->phase->program->outputs[output]), count);
    ck_assert_int_eq(anl_session_fetch(f->session, f->phase, output, 0, out, f->diagnostics), ANL_OK);
}

static inline void state(fixture *f, const char *path, int64_t count, float *out)
{
    void *bytes;
    int place = anl_state_layout_find(f->session->layout, path);
    ck_assert_msg(place >= 0, "no state %s", path);
    ck_assert_int_eq(f->session->layout->places[place].count, count);
    ck_assert_int_eq(anl_session_state_read(f->session, &bytes, f->diagnostics), ANL_OK);
    anl_place_get(f->session, bytes, place, out);
    free(bytes);
}

static inline void close_spec(fixture *f)
{
    anl_session_free(&f->session);
    anl_diagnostics_free(&f->diagnostics);
}

#define DATA(axes) "data: {train: {shards: none, fields: {x: {axes: " axes "}}}}\n"
#define TRAIN(rule)                                                                                                                             \
    "train: {length: 10it, optimizer: [{weights: \"*\", rule: \"" rule "\"}]}\n"


static inline void remove_folder(void)
{
    char path[256];
    snprintf(path, sizeof path, "%s/spec.yaml", folder);
    unlink(path);
    rmdir(folder);
}

#endif
