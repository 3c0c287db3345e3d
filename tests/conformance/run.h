/* Programs of a group on one device, with or without guards around their tensors.
 * In: a group's graph and values. Out: what its outputs and states hold after each step, as doubles.
 * With guards every tensor of the program lies in one state memory, apart from the others, and all bytes that no kernel may write
 * are compared. */
#ifndef ANL_TESTS_CONFORMANCE_RUN_H
#define ANL_TESTS_CONFORMANCE_RUN_H

#include "compile/compile.h"
#include "device/device.h"
#include "suite.h"

typedef struct loaded loaded;

/* All return NULL, or why not (in the loaded's own memory, or static). */
const char *loaded_new(anl_device *device, maker *m, bool f64, bool no_fusion, loaded **out);
void loaded_free(loaded **l);
/* Fresh memory, states as at the start. Guarded: from now on each tensor lies apart from the others (it stays so). */
const char *loaded_start(loaded *l, bool guarded);
const char *loaded_step(loaded *l, int64_t step);
/* Bytes that changed though nothing may write them: NULL if there are none. */
const char *loaded_guards(loaded *l);
/* Row-major in the output's or state's own axes; *out is owned by the caller. */
const char *loaded_output(loaded *l, const char *name, double **out, int64_t *count);
const char *loaded_state(loaded *l, const char *path, double **out, int64_t *count);
/* Replaces the data of a field (row-major in its node's axes), for all later steps. */
void loaded_replace(loaded *l, const char *field, const double *data);
/* Plants a fault, to see that it is found: no barriers at all, or one element more in every kernel's first dimension. */
typedef enum fault { NO_BARRIERS, ONE_TOO_MANY } fault;
void loaded_plant(loaded *l, fault what);
int loaded_kernels(const loaded *l);

#endif
