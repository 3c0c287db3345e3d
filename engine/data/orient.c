/* Volumes in one orientation, whatever the file's.
 * In: a scan that says where it lies in the patient. Out: the same scan with its axes exchanged and turned round.
 * NIfTI has axes to the right, the front and the head, scanners slices of any plane: without this, the same organ would lie
 * differently in each source. */
#include "data/orient.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* For each axis of the result: the axis it comes from, and whether it runs the other way. */
typedef struct turn {
    int from[3];
    bool back[3];
} turn;

/* The component along patient axis `to` of voxel axis a, of unit length. */
static double along(const anl_scan *s, int a, int to)
{
    double length = sqrt(s->affine[0][a] * s->affine[0][a] + s->affine[1][a] * s->affine[1][a] + s->affine[2][a] * s->affine[2][a]);
    return length > 0 ? s->affine[to][a] / length : 0;
}

/* Which voxel axis runs along which axis of the patient: the assignment that fits best as a whole. */
static void assign(const anl_scan *s, int axis_of[3])
{
    static const int orders[6][3] = {{0, 1, 2}, {1, 0, 2}, {0, 2, 1}, {2, 1, 0}, {1, 2, 0}, {2, 0, 1}};
    double best = -1;
    for (size_t i = 0; i < ANL_COUNT(orders); i++) {
        double fit = 0;
        for (int to = 0; to < 3; to++)
            fit += fabs(along(s, orders[i][to], to));
        if (fit > best + 1e-9) {
            best = fit;
            memcpy(axis_of, orders[i], sizeof orders[i]);
        }
    }
}

static void choose_turn(const anl_scan *s, turn *t)
{
    int axis_of[3];
    assign(s, axis_of);
    /* Which patient axis each axis of the result follows, and in which direction. */
    int follows[3] = {0, 1, 2};
    double sign[3] = {1, 1, 1};
    if (s->depth == 1 && axis_of[1] == 2) { /* coronal: z is the normal */
        follows[1] = 2;
        follows[2] = 1;
        sign[1] = -1;
    } else if (s->depth == 1 && axis_of[0] == 2) { /* sagittal */
        follows[0] = 1;
        follows[1] = 2;
        follows[2] = 0;
        sign[1] = -1;
    }
    for (int a = 0; a < 3; a++) {
        t->from[a] = axis_of[follows[a]];
        t->back[a] = along(s, t->from[a], follows[a]) * sign[a] < 0;
    }
    if (s->depth == 1) /* its normal has no two sides */
        t->back[2] = false;
}

/* One frame. first: voxel of the old frame that becomes the first of the new; step: in voxels, for a step in the new one. */
static void move_frame(const anl_scan *old, anl_scan *new, int frame, int64_t first, const int64_t step[3])
{
    const size_t voxel = (size_t)anl_voxel_bytes(old->type) * (size_t)old->channels;
    const size_t volume = (size_t)old->width * (size_t)old->height * (size_t)old->depth * voxel;
    const uint8_t *from = (const uint8_t *)old->voxels + volume * (size_t)frame;
    uint8_t *to = (uint8_t *)new->voxels + volume * (size_t)frame;
    for (int z = 0; z < new->depth; z++)
        for (int y = 0; y < new->height; y++) {
            int64_t at = first + step[2] * z + step[1] * y;
#define MOVE(type)                                                                                                               \
    for (int x = 0; x < new->width; x++, at += step[0], to += sizeof(type))                                                       \
    *(type *)(void *)to = ((const type *)(const void *)from)[at]
            if (voxel == 1)
                MOVE(uint8_t);
            else if (voxel == 2)
                MOVE(uint16_t);
            else if (voxel == 4)
                MOVE(uint32_t);
            else if (voxel == 8)
                MOVE(uint64_t);
            else
                for (int x = 0; x < new->width; x++, at += step[0], to += voxel)
                    memcpy(to, from + (size_t)at * voxel, voxel);
#undef MOVE
        }
}

anl_status anl_scan_orient(anl_scan *scan, char reason[ANL_REASON_SIZE])
{
    if (!scan->oriented)
        return ANL_OK;
    turn t;
    choose_turn(scan, &t);
    bool still = true;
    for (int a = 0; a < 3; a++)
        still = still && t.from[a] == a && !t.back[a];
    if (still)
        return ANL_OK;
    const int size[3] = {scan->width, scan->height, scan->depth};
    const int64_t stride[3] = {1, scan->width, (int64_t)scan->width * scan->height};
    anl_scan turned = *scan;
    turned.voxels = NULL;
    turned.width = size[t.from[0]];
    turned.height = size[t.from[1]];
    turned.depth = size[t.from[2]];
    int64_t first = 0, step[3];
    for (int a = 0; a < 3; a++) {
        const int from = t.from[a];
        const double last = size[from] - 1;
        step[a] = t.back[a] ? -stride[from] : stride[from];
        first += t.back[a] ? stride[from] * (size[from] - 1) : 0;
        turned.spacing[a] = scan->spacing[from];
        turned.turned[a] = t.back[a] ? -scan->turned[from] : scan->turned[from];
        for (int i = 0; i < 3; i++) {
            turned.affine[i][a] = (t.back[a] ? -scan->affine[i][from] : scan->affine[i][from]) + 0.0; /* no -0 */
            turned.affine[i][3] += t.back[a] ? scan->affine[i][from] * last : 0;
        }
    }
    if (scan->voxels) {
        anl_status status = anl_scan_allocate(&turned, true, reason);
        if (status != ANL_OK)
            return status;
        for (int f = 0; f < scan->frames; f++)
            move_frame(scan, &turned, f, first, step);
        free(scan->voxels);
    }
    *scan = turned;
    return ANL_OK;
}
