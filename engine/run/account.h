/* The account of a spec: what one of its programs is, needs and costs, before it is written down as text or JSON.
 * In: a spec, overrides, which program. Out: totals, the tree of costs, whether a device can run it, and what was measured.
 * Shared by the files of `anlage explain`; one arena. */
#ifndef ANL_RUN_ACCOUNT_H
#define ANL_RUN_ACCOUNT_H

#include <anlage/program.h>

#include "lint/resources.h"

typedef struct anl_account {
    anl_arena *arena;
    const char *spec;
    anl_recipe *recipe;
    anl_built built;
    int which; /* of built's programs */
    bool evaluation;
    int64_t first_step, end_step; /* of the phase; end_step: the first that is not in it */
    const anl_traced *traced;
    const anl_program *program;
    const anl_cost_tree *tree;
    anl_cost total;
    int64_t checkpoint; /* bytes of a checkpoint file */
    double contraction_flops;
    int kinds[3]; /* kernels by anl_kernel_kind */
    int barriers;
    const char *biggest; /* what takes most memory, or NULL */
    /* the device that it was judged against */
    bool judged, fits;
    anl_limits limits;
    anl_footprint needs;
    int64_t largest_batch; /* 0: none fits; -1: unknown */
    /* the device that it was measured on; NULL: not measured */
    const char *device;
    anl_cost_rates rates;
    double step_seconds; /* of a whole step, without waiting between kernels */
} anl_account;

/* Reads, traces, compiles. The account is to be freed whatever the status is. */
anl_status anl_account_open(anl_account *account, const anl_explain_options *options, const char *spec,
                            anl_diagnostics *diagnostics);
void anl_account_free(anl_account *account);
/* The same line in another tree, or -1; the rows that a depth shows: those of at most that depth. */
const anl_cost_line *anl_account_line(const anl_account *account, const char *path);

/* ---- measure.c ---- */
/* Runs the step on a device: seconds per kernel go into the tree, with estimates at the rates that the device shows in a matrix
 * product and a copy. */
anl_status anl_account_measure(anl_account *account, const anl_explain_options *options, anl_diagnostics *diagnostics);

/* ---- compare.c ---- */
typedef enum anl_change_kind { ANL_CHANGED, ANL_REMOVED, ANL_ADDED } anl_change_kind;
typedef struct anl_change {
    anl_change_kind kind;
    const char *path;  /* "params.batch", "graph.scores", "functions.conv.returns" */
    const char *a, *b; /* NULL: not there */
} anl_change;
/* What differs in the resolved recipes, by path; functions that neither uses are left out. */
anl_status anl_compare_recipes(anl_arena *arena, const anl_recipe *a, const anl_recipe *b, anl_diagnostics *diagnostics,
                               anl_change **changes, int *count);
void anl_compare_print(const anl_account *a, const anl_account *b, const anl_change *changes, int count, int depth, FILE *out);
void anl_compare_json(const anl_account *a, const anl_account *b, const anl_change *changes, int count, int depth, FILE *out);

/* ---- account_text.c, account_json.c ---- */
void anl_account_print(const anl_account *account, int depth, bool checked, FILE *out);
void anl_account_json(const anl_account *account, int depth, FILE *out);

/* The totals of an account, in the order in which they are shown. */
typedef enum anl_total_unit { ANL_TOTAL_COUNT, ANL_TOTAL_BYTES, ANL_TOTAL_FLOPS } anl_total_unit;
typedef struct anl_total {
    const char *key;  /* of JSON: "planned_bytes" */
    const char *name; /* for people */
    anl_total_unit unit;
    double value;
} anl_total;
enum { ANL_TOTALS = 14 };
void anl_account_totals(const anl_account *account, anl_total out[ANL_TOTALS]);
/* "2,933,344" */
void anl_count_text(int64_t count, char out[32]);
void anl_total_text(anl_total_unit unit, double value, char out[32]);

#endif
