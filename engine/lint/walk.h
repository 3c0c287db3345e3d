/* Walking over graphs: what a value is made from, what is made from it, and where in the spec it stands.
 * In: graphs as the tracer made them; nodes are in topological order, so that one sweep over them finds all that leads to or from
 * a node. Out: marks by node id, in the caller's arena.
 * A trained graph holds gradients and updates behind the losses: begin at the losses to see what the author wrote. */
#ifndef ANL_LINT_WALK_H
#define ANL_LINT_WALK_H

#include "graph/graph.h"
#include "lint/rules.h"

/* Which ways count: those of values, or those along which a gradient can flow back (not through stop_gradient, comparisons,
 * indices). */
typedef enum anl_ways { ANL_WAYS_VALUES, ANL_WAYS_GRADIENTS } anl_ways;
bool anl_walk_passes(const anl_node *node, anl_ways ways); /* from its inputs through the node */

/* Marks, by id, all that the nodes are made from, themselves included. NULL entries of `from` are passed over. */
bool *anl_walk_behind(anl_arena *arena, const anl_graph *graph, const anl_node *const *from, int count, anl_ways ways);
/* Marks, by id, all that is made from the nodes, themselves included. */
bool *anl_walk_ahead(anl_arena *arena, const anl_graph *graph, const anl_node *const *from, int count, anl_ways ways);
/* All that the values of the losses are made from: the training as the author wrote it, without gradients and updates. */
bool *anl_walk_losses(anl_arena *arena, const anl_traced *traced, anl_ways ways);

/* Who uses a node: users of node n are items[start[n->id]] to items[start[n->id + 1] - 1], in order. */
typedef struct anl_users {
    int *start;
    const anl_node **items;
} anl_users;
anl_users anl_walk_users(anl_arena *arena, const anl_graph *graph);

/* Whether the elements of the result are elements of the inputs, only elsewhere (rename, slice, replicate, stop_gradient, …). */
bool anl_walk_moves(const anl_node *node);
/* The node behind all that moves and casts, as long as there is one input. */
const anl_node *anl_walk_moved(const anl_node *node);
/* A constant, perhaps spread or cast. */
bool anl_walk_constant(const anl_node *node, double *value);

/* Whether a place lies in the spec itself, not in what it imports. */
bool anl_walk_own(const anl_lint_pass *pass, anl_span span);
/* A problem of a node. It is shown in the spec itself: where the node stands there, or else at the spec's own call that leads to
 * it; a label names the other of the two places. */
anl_diagnostic *anl_walk_diagnose(const anl_lint_pass *pass, anl_code code, const anl_node *node, const char *format, ...)
    ANL_PRINTF(4, 5);

#endif
