/* The tracer's own structures, shared by its files: scopes, frames, places, records of state, and the plan of arenas.
 * In: nothing. Out: what evaluate.c, call.c, state.c, optimize.c and trace.c pass among each other.
 * Internal to this folder. */
#ifndef ANL_TRACE_TRACER_H
#define ANL_TRACE_TRACER_H

#include <string.h>

#include "trace/trace.h"

typedef struct tracer tracer;
typedef struct place place;
typedef struct frame frame;
typedef struct entry entry;
typedef struct scope scope;
typedef struct record record;
typedef struct plan_group plan_group;

/* A function, a module or a builtin as a value, possibly with arguments bound. */
typedef struct bound_argument {
    const char *name;
    anl_span span;
    anl_value value;
} bound_argument;
typedef struct callable {
    const anl_function *function;
    const anl_builtin *builtin; /* or */
    const char *name;           /* as it was written */
    bound_argument *bound;
    int bound_count;
    const anl_module *module; /* a module: its weights lie under its name */
    const anl_module *source; /* a copy: the module that it copies */
    anl_span span;
} callable;

/* ---- names ---- */
typedef enum entry_kind {
    ENTRY_VALUE,      /* the value stands already */
    ENTRY_EXPRESSION, /* evaluated in `where` at first use */
    ENTRY_PARAM,      /* the param's own expression (default, override): evaluated and checked at first use */
    ENTRY_STATE,      /* a weight or state */
    ENTRY_FIELD,      /* a field of the data, or its mask */
    ENTRY_MODULE,
    ENTRY_GRADIENT_NORM, /* the global norm, in optimizer rules */
    ENTRY_SOURCE_VALUE,  /* what a copied weight follows */
} entry_kind;

enum { UNTOUCHED, RUNNING, DONE };
enum { NEED_CHECK, NEED_VALUE, NEED_TRAINING }; /* looked at only for problems; for metrics and fetches; for losses and updates */

struct entry {
    entry_kind kind;
    const char *name;
    anl_span span;
    const anl_expression *expression;
    const anl_param *param;
    const anl_declaration *declaration;
    const anl_module *module;
    const anl_field_declaration *field;
    bool mask;
    place *where;
    int progress;
    anl_value value;
    record *record;  /* ENTRY_STATE, once it is used */
    anl_span *sizes; /* ENTRY_STATE, once it is used: where the size of each of its axes was written */
    int next_progress;
    anl_value next; /* ENTRY_STATE: the new value that this call computes */
};

struct scope {
    scope *parent;
    entry **entries;
    int count, capacity;
};

/* Components of paths taken in one scope, so that a second call of the same name is noticed. */
typedef struct claim {
    const char *component;
    anl_span span;
} claim;
typedef struct claims {
    claim *weights, *draws;
    int weight_count, weight_capacity, draw_count, draw_capacity;
} claims;

/* Where an expression is evaluated: whose names it sees and under which paths its weights and draws lie. */
struct place {
    frame *frame;
    scope *scope;
    const char *path;           /* of weights; "" at the top */
    const char *draws;          /* of draws: the call sites and node names on the way */
    const char *owner;          /* where costs are counted: in a module its path, in updates the state's path; NULL: under draws */
    bool updating;              /* in an update: calls within it count where it does */
    int *draw_count;            /* direct draws so far in this node */
    place *base;                /* the place that claims for this one: itself, or the one that the node belongs to */
    claims *claims;             /* base: taken components */
    place *weight_up, *draw_up; /* base: where this one is itself a component; NULL: absolute */
    const char *component;
    bool claimed_weights, claimed_draws, conflict;
    anl_span span; /* of the call */
};

struct frame {
    const anl_function *function; /* NULL: the spec itself */
    frame *caller;
    scope *scope;
    place *place;
    anl_axis *ride; /* hidden axes along which draws are independent */
    int ride_count, ride_capacity;
    int32_t *named; /* hidden axes that ...rest makes visible here */
    int named_count, named_capacity;
    anl_axis *seen; /* axes of the inputs with sizes, for axes= */
    int seen_count, seen_capacity;
    const anl_module *copy, *copy_source;
};

/* A weight or state of this pass. */
typedef struct update_call {
    entry *entry;
    anl_span span;
} update_call;
struct record {
    const char *path;
    const anl_declaration *declaration;
    anl_state *state;
    entry *owner;
    const char *source; /* path that it copies, or NULL */
    const anl_module *copy;
    update_call *calls;
    int call_count, call_capacity;
    anl_node *next; /* new value at the end of the step; NULL: unchanged or not known yet */
    int used;       /* in this pass: a NEED_… */
    anl_value init;
    int init_progress;
};

/* ---- the plan: what all phases together need ---- */
typedef struct plan_state {
    const char *path;
    anl_state_kind kind;
    int rank;
    const char *axis[ANL_MAX_AXES];
    int32_t size[ANL_MAX_AXES];
    bool is_weight, trained, projected;
    const char *source; /* copies */
    const anl_module *copy;
    uint64_t phases; /* bit p: used in phase p of the census */
    int64_t count, padded;
    int group;      /* -1: none */
    int64_t offset; /* in the group's arena */
    int segment;
    anl_span span;
} plan_state;

/* How a group's weights lie in its arena, for sums over each of them. */
typedef struct arena_map {
    int32_t *valid;   /* of each chunk: elements that are no padding */
    int32_t *segment; /* of each chunk: whose it is, as position in plan_group.states */
    int32_t *starts;  /* of each weight: its first chunk; one more at the end */
    float *counts;    /* of each weight: elements */
    bool full;        /* there is no padding */
} arena_map;

struct plan_group {
    const char *name;
    int *entries; /* optimizer entries that match, in order */
    int entry_count, entry_capacity;
    anl_state_kind kind;
    uint64_t phases;
    bool separate;    /* updated on its own axes, not flat */
    int source_group; /* copies: the group they mirror, or -1 */
    const anl_module *copy;
    int *states; /* indices of plan states */
    int count, capacity;
    int64_t chunks;
    anl_state *arena;  /* in this pass */
    arena_map *map;    /* NULL until a rule sums */
};

enum { LANE = 64, ARENA_LIMIT = 96 * 1024 * 1024 / 4 };

/* A rule of train: optimizer, evaluated once per pass. */
typedef struct rule_entry {
    const anl_optimizer_rule *rule;
    callable *callable;
    bool frozen, flat;
    bool matched;
    anl_value from, until;
} rule_entry;

typedef struct twin { /* a hidden axis that stands for a visible one */
    int32_t axis, hidden;
} twin;

struct tracer {
    const anl_recipe *recipe;
    const anl_trace_options *options;
    anl_diagnostics *diagnostics;
    anl_arena *arena;
    anl_arena *plan_arena; /* of the trace that took the census: what later traces of the recipe share */
    anl_graph *graph;
    bool training;
    double epoch_steps;
    int64_t phase_step, seed;
    int phase; /* number in the census */
    bool census;
    int need;       /* what for is evaluated now: a NEED_… */
    bool optimized; /* new values of weights are known */
    frame *top;
    anl_lookup record_paths, plan_paths; /* plan_paths: positions in plan, from 1 */
    record **records;
    int record_count, record_capacity;
    update_call *updates; /* entries with update: of this pass, in order of calls */
    int update_count, update_capacity;
    entry **running;
    int running_count, running_capacity;
    twin *twins;
    int twin_count, twin_capacity;
    double *boundaries;
    anl_boundary *boundary_kinds;
    int boundary_count, boundary_capacity, boundary_kind_count, boundary_kind_capacity;
    plan_state *plan;
    int plan_count, plan_capacity;
    plan_group *groups;
    int group_count, group_capacity;
    rule_entry *rules;
    int32_t chunk_axis, lane_axis;
    plan_group *group;            /* whose rule is traced now */
    const plan_state *rule_state; /* … and for which weight, where the group is a separate one */
    anl_value learning_rate;      /* of the first rule that has a param lr */
    /* while an init expression is evaluated */
    const anl_axis *init_axes;
    int init_rank;
    const char *init_path;
    anl_node *init_shape;
    /* all gradients of this phase, for gradient_norm */
    anl_node *gradient_norm;
    int depth;
    const anl_witness *witness; /* while there is something to be told to it */
    double *flops;              /* of the first nodes of the graph, in sum: flops[n] of the first n */
    int flops_count, flops_capacity;
    double elsewhere; /* FLOPs of named values, which are no part of what mentions them first */
};

typedef enum want { WANT_VALUE, WANT_AXES, WANT_WORD } want;

/* ---- scope.c ---- */
extern const anl_value no_value;
bool reported(const tracer *t, anl_code code, anl_span span);
scope *scope_new(tracer *t, scope *parent);
entry *scope_add(tracer *t, scope *s, entry_kind kind, const char *name, anl_span span);
entry *scope_find(const scope *s, const char *name);
place *place_new(tracer *t, frame *f, const char *path, const char *draws);
place *place_for_node(tracer *t, place *base, const char *node);
const char *join_path(tracer *t, const char *prefix, const char *name);
bool claim_weights(tracer *t, place *p);
void claim_draws(tracer *t, place *p);
bool axis_visible(const tracer *t, const frame *f, int32_t axis);
int32_t axis_root(const tracer *t, int32_t axis);
int32_t hide_axis(tracer *t, int32_t axis, const anl_value *avoid, int avoid_count);
const char *axes_of(tracer *t, const anl_node *node); /* "[view 2, batch 64]" */
bool value_same_nodes(const anl_value *a, const anl_value *b);

/* ---- evaluate.c ---- */
anl_value evaluate(tracer *t, place *p, const anl_expression *e, want w);
anl_value entry_value(tracer *t, entry *n, anl_span use);
anl_value value_node_of(anl_node *node, anl_span span);
anl_value plain(tracer *t, place *p, anl_value v); /* a duration becomes steps */
bool needs_number(tracer *t, const anl_value *v, anl_span span, const char *what); /* reports conditions and durations */
bool counts_steps(const anl_value *v); /* what durations may be compared and combined with: schedules, and numbers */
bool no_duration(tracer *t, const anl_value *duration, const anl_value *with, const char *operation, anl_span use);
anl_value value_used(anl_value v, anl_span use); /* static values: problems are reported where they are used */
void label_origins(tracer *t, int first, const anl_value *origins, const anl_value *used, int count);
anl_context context_at(tracer *t, place *p, anl_span span);
int32_t axis_named(tracer *t, place *p, const char *name); /* axis params first */
/* "an integer", or "an integer that is computed": for messages about what must be known when compiling. */
const char *what_it_is(tracer *t, const anl_value *v);
bool static_bool(tracer *t, place *p, const anl_expression *e, const char *what, bool *out);
bool static_steps(tracer *t, const anl_value *v, double *out);
void warn_after_the_end(tracer *t, const anl_value *v, anl_span span, const char *what);
bool boundary_at(tracer *t, double steps, anl_boundary kind); /* records it; whether it lies behind */
anl_value check_param(tracer *t, const anl_param *param, anl_value v, anl_span span, const char *of);
want param_want(const anl_param *param);
anl_value param_value(tracer *t, place *p, const anl_param *param);
anl_node *node_of(tracer *t, place *p, const anl_value *v, anl_span span);

void label_origin(tracer *t, anl_diagnostic *d, const anl_value *v); /* where a static value was set */

/* ---- call.c ---- */
anl_value call(tracer *t, place *p, const anl_expression *e, const anl_value *piped, want w);
anl_value call_function(tracer *t, place *p, const callable *c, const bound_argument *given, int given_count,
                        const anl_expression *arguments, const anl_value *piped, anl_span span, frame **made);
callable *bind_partly(tracer *t, place *p, const anl_expression *e);
anl_value evaluate_pipeline(tracer *t, place *p, const anl_expression *e, const anl_value *input);
anl_value evaluate_repeat(tracer *t, place *p, const anl_expression *e, const anl_value *input);
callable *callable_of(const anl_value *v);

/* ---- state.c ---- */
anl_value state_value(tracer *t, entry *n);
record *state_record(tracer *t, entry *n);
record *record_find(const tracer *t, const char *path);
anl_value state_next(tracer *t, entry *n, anl_span use);
void add_update_calls(tracer *t, frame *f, anl_span span);
anl_node *fit_axes(tracer *t, anl_node *node, const anl_axis *axes, int rank, const char *what, anl_span span);
anl_node *initial_value(tracer *t, record *r);
anl_node *projected(tracer *t, record *r, anl_node *value);
void make_updates(tracer *t);
void register_plan(tracer *t);

/* ---- optimize.c ---- */
void evaluate_rules(tracer *t);
void plan_groups(tracer *t);
void register_arenas(tracer *t);
void initialize_optimizer(tracer *t);
int winning_rule(tracer *t, const plan_group *g);
void optimize(tracer *t, anl_node *total, const char *const *wanted, int wanted_count, anl_node **wanted_gradients);
void follow_copies(tracer *t);
record *optimizer_record(tracer *t, entry *n);
void check_rules(tracer *t);
anl_node *sum_in_arena(tracer *t, anl_node *value, bool mean);

/* ---- witness.c ---- */
double flops_of(tracer *t, int from); /* of the nodes made since there were `from`; 0 without a witness */
void witness_value(tracer *t, anl_span span, const anl_value *value, const char *path, double flops);
void witness_scope(tracer *t, const frame *f); /* inputs and params of a call */

/* ---- check.c ---- */
void warn_unused(tracer *t);

#endif
