/* Probing a graph: what a single element of a value becomes under given draws, computed from the nodes that lead to it.
 * In: a graph, a node, coordinates, the number of a scenario (each draw takes every stretch of its range in one of them). Out:
 * the element's value, and the element of the image that it comes from. So rules see what a chain of operations does to an image
 * however it is written. */
#ifndef ANL_LINT_PROBE_H
#define ANL_LINT_PROBE_H

#include "graph/graph.h"

enum { ANL_PROBE_SCENARIOS = 64 };

typedef struct anl_element {
    double value; /* NaN: not known, or beyond the image */
    bool image;   /* made from an element of the image, which lies … */
    double at[3]; /* … here along z, y, x */
} anl_element;

typedef struct anl_probe anl_probe;
/* All images have the value `image` everywhere. origin: nodes, by id, that count as the image itself, besides the fields for
 * which field says so; may be NULL. Lives as long as the arena. */
anl_probe *anl_probe_new(anl_arena *arena, const anl_graph *graph, bool (*field)(void *context, const anl_node *node),
                         void *context, const bool *origin);
void anl_probe_image(anl_probe *probe, double image);
/* The element of node at the coordinates (one for each of its axes, in their order). */
anl_element anl_probe_at(anl_probe *probe, const anl_node *node, const int32_t *coordinates, int scenario);
/* The element at `space` (shares of the size along z, y and x, from 0 to 1) and, along all other axes, wherever the scenario has
 * it: the same for all nodes that have an axis of that name and size. */
anl_element anl_probe_near(anl_probe *probe, const anl_node *node, const double space[3], int scenario);
/* 0, 1, 2 for an axis called z, y, x, else -1; whether it is hidden or not. */
int anl_probe_space(const anl_graph *graph, int32_t axis);

#endif
