/* The augmentations of specs/lib: what they do where it is known, and the statistics of what is random.
 * In: small specs. Out: check's report. On the host in float64 without fusion and in float32 with it. */
#include "spec_fixture.h"

#define IMPORTS "import: [lib/augment.yaml, lib/augment_geometry.yaml, lib/augment_intensity.yaml, lib/boxes.yaml]\n"
#define TWO "data: {train: {shards: none, fields: {x: {axes: {channel: 1, y: 12, x: 10}}, v: {axes: {channel: 1, z: 6, y: 6, x: 6}}}}}\n"

enum { B = 3, H = 12, W = 10, D = 6, PLANE = B * H * W, SOLID = B * D * D * D };

/* Values from 0 to 1 without any pattern. */
static void fill(float *x, int count, unsigned seed)
{
    for (int i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / 16777216.0f;
    }
}

static const struct unchanged {
    const char *plane, *solid; /* what changes nothing, in two and in three dimensions; NULL: not there */
} unchanged[] = {
    {"affine_sample(affine_start(x), image=x, size=12)", "affine_sample(affine_start(v), image=v, size=6)"},
    {"random_contrast(x, gain=[1.0, 1.0])", "random_contrast(v, gain=[1.0, 1.0])"},
    {"histogram_shift(x, strength=0)", "histogram_shift(v, strength=0)"},
    {"bias_field(x, strength=0)", "bias_field(v, strength=0)"},
    {"elastic_deformation(x, pixels=0)", "elastic_deformation(v, pixels=0)"},
    {"window(x, centre=0.5, width=1)", "window(v, centre=0.5, width=1)"},
    {"random_window(x, centre=[0.5, 0.5], width=[1.0, 1.0])", "random_window(v, centre=[0.5, 0.5], width=[1.0, 1.0])"},
    {"gaussian_blur(x, deviation=[0.01, 0.01])", "gaussian_blur(v, deviation=[0.01, 0.01])"},
    {"random_sharpening(x, amount=[0.0, 0.0])", "random_sharpening(v, amount=[0.0, 0.0])"},
    {"low_resolution(x, probability=0)", "low_resolution(v, probability=0)"},
    {"low_resolution(x, block=1, probability=1)", "low_resolution(v, block=1, probability=1)"},
    {"gaussian_noise(x, std=[0.0, 0.0])", "gaussian_noise(v, std=[0.0, 0.0])"},
    {"rician_noise(x, std=[0.0, 0.0])", "rician_noise(v, std=[0.0, 0.0])"},
    {"speckle_noise(x, std=[0.0, 0.0])", "speckle_noise(v, std=[0.0, 0.0])"},
    {"cutout(x, probability=0)", "cutout(v, probability=0)"},
    {"random_mask(x, probability=0)", NULL},
    {"energy_bands(x, bands=3, gain=[1.0, 1.0])", NULL},
    {"random_flip(x, probability=0)", "random_flip(v, probability=0)"},
    {"random_intensity(x)", "random_intensity(v)"},
    {"random_noise(x, std=0)", "random_noise(v, std=0)"},
    {"random_rotation(x, degrees=0)", NULL},
};

START_TEST(nothing_changes_at_strength_zero)
{
    enum { COUNT = sizeof unchanged / sizeof *unchanged };
    static char spec[16384], names[2 * COUNT][16];
    const char *fetches[2 * COUNT];
    int used = snprintf(spec, sizeof spec, "anlage: 1\n" IMPORTS "params: {batch: 3}\n" TWO "graph:\n"), count = 0;
    for (int i = 0; i < COUNT; i++)
        for (int k = 0; k < 2; k++) {
            const char *text = k ? unchanged[i].solid : unchanged[i].plane;
            if (!text)
                continue;
            snprintf(names[count], sizeof names[count], "%s%d", k ? "solid" : "plane", i);
            used += snprintf(spec + used, sizeof spec - (size_t)used, "  %s: %s\n", names[count], text);
            fetches[count] = names[count];
            count++;
        }
    ck_assert_int_lt(used, (int)sizeof spec);
    float x[PLANE], v[SOLID], *fields[] = {x, v};
    fill(x, PLANE, 1);
    fill(v, SOLID, 2);
    fixture f;
    open_spec(&f, spec, _i == 0, fetches, count);
    step_fields(&f, 0, fields);
    for (int n = 0; n < count; n++) {
        double out[SOLID > PLANE ? SOLID : PLANE];
        bool solid = names[n][0] == 's', resized = !strcmp(names[n], "plane0");
        if (resized)
            continue; /* 12 x 10 becomes 12 x 12 */
        fetch(&f, names[n], solid ? SOLID : PLANE, out);
        for (int i = 0; i < (solid ? SOLID : PLANE); i++)
            ck_assert_msg(fabs(out[i] - (solid ? v[i] : x[i])) < 2e-6, "%s: element %d is %g, not %g", names[n], i, out[i],
                          (double)(solid ? v[i] : x[i]));
    }
    close_spec(&f);
}
END_TEST

START_TEST(affine_steps_do_what_they_say)
{
    static const char spec[] = "anlage: 1\n" IMPORTS "params: {batch: 3}\n"
        "data: {train: {shards: none, fields: {x: {axes: {channel: 1, y: 6, x: 6}}, v: {axes: {channel: 1, z: 6, y: 6, x: 6}}}}}\n"
        "graph:\n"
        "  turned: [affine_start(x), affine_rotation: {degrees: [90.0, 90.0]}, affine_sample: {image: x, size: 6}]\n"
        "  about_z: [affine_start(v), affine_rotation: {degrees: [90.0, 90.0]}, affine_sample: {image: v, size: 6}]\n"
        "  about_y: [affine_start(v), affine_rotation: {degrees: [90.0, 90.0], about: 1}, affine_sample: {image: v, size: 6}]\n"
        "  about_x: [affine_start(v), affine_rotation: {degrees: [90.0, 90.0], about: 2}, affine_sample: {image: v, size: 6}]\n"
        "  mirrored: [affine_start(x), affine_flip: {probability: 1}, affine_sample: {image: x, size: 6}]\n"
        "  upside: [affine_start(x), affine_flip: {probability: 1, along: 1}, affine_sample: {image: x, size: 6}]\n"
        "  deep: [affine_start(v), affine_flip: {probability: 1, along: 0}, affine_sample: {image: v, size: 6}]\n"
        "  shifted: [affine_start(x), affine_translation: {y: [2.0, 2.0], x: [-1.0, -1.0]}, affine_sample: {image: x, size: 6}]\n"
        "  larger: [affine_start(x), affine_scaling: {scale: [2.0, 2.0]}, affine_sample: {image: x, size: 12}]\n"
        "  whole: [affine_start(x), affine_crop: {image: x, area: [1.0, 1.0]}, affine_sample: {image: x, size: 3, supersample: 2}]\n";
    static const char *const fetches[] = {"turned", "about_z", "about_y", "about_x", "mirrored", "upside", "deep", "shifted", "larger", "whole"};
    float x[B * 36], v[SOLID], *fields[] = {x, v};
    fill(x, B * 36, 3);
    fill(v, SOLID, 4);
    double turned[B * 36], mirrored[B * 36], upside[B * 36], shifted[B * 36], larger[B * 144], whole[B * 9], solid[4][SOLID];
    fixture f;
    open_spec(&f, spec, _i == 0, fetches, 10);
    step_fields(&f, 0, fields);
    fetch(&f, "turned", B * 36, turned);
    fetch(&f, "mirrored", B * 36, mirrored);
    fetch(&f, "upside", B * 36, upside);
    fetch(&f, "shifted", B * 36, shifted);
    fetch(&f, "larger", B * 144, larger);
    fetch(&f, "whole", B * 9, whole);
    for (int k = 0; k < 3; k++)
        fetch(&f, fetches[1 + k], SOLID, solid[k]);
    fetch(&f, "deep", SOLID, solid[3]);
    for (int b = 0; b < B; b++)
        for (int y = 0; y < 6; y++)
            for (int c = 0; c < 6; c++) {
                const float *image = x + 36 * b;
                int at = 36 * b + 6 * y + c;
                /* a quarter turn counterclockwise: what was on the right is on top */
                ck_assert_double_eq_tol(turned[at], image[6 * c + 5 - y], 2e-6);
                ck_assert_double_eq_tol(mirrored[at], image[6 * y + 5 - c], 2e-6);
                ck_assert_double_eq_tol(upside[at], image[6 * (5 - y) + c], 2e-6);
                ck_assert_double_eq_tol(shifted[at], y < 2 || c > 4 ? 0 : image[6 * (y - 2) + c + 1], 2e-6);
                for (int z = 0; z < 6; z++) {
                    const float *volume = v + 216 * b;
                    int in = 216 * b + 36 * z + 6 * y + c;
                    ck_assert_double_eq_tol(solid[0][in], volume[36 * z + 6 * c + 5 - y], 2e-6);
                    ck_assert_double_eq_tol(solid[1][in], volume[36 * c + 6 * y + 5 - z], 2e-6);
                    ck_assert_double_eq_tol(solid[2][in], volume[36 * y + 6 * (5 - z) + c], 2e-6);
                    ck_assert_double_eq_tol(solid[3][in], volume[36 * (5 - z) + 6 * y + c], 2e-6);
                }
            }
    for (int b = 0; b < B; b++)
        for (int y = 0; y < 12; y++)
            for (int c = 0; c < 12; c++) { /* twice as large on a grid twice as fine: positions a quarter of a pixel apart */
                double v_at = 2.5 + (y - 5.5) / 4, u_at = 2.5 + (c - 5.5) / 4;
                int i = (int)v_at, k = (int)u_at;
                double p = v_at - i, q = u_at - k;
                const float *image = x + 36 * b;
                double expected = (1 - p) * ((1 - q) * image[6 * i + k] + q * image[6 * i + k + 1]) +
                                  p * ((1 - q) * image[6 * i + 6 + k] + q * image[6 * i + 7 + k]);
                ck_assert_double_eq_tol(larger[144 * b + 12 * y + c], expected, 2e-6);
            }
    for (int b = 0; b < B; b++)
        for (int y = 0; y < 3; y++)
            for (int c = 0; c < 3; c++) { /* antialiased: the mean of the pixels under it */
                const float *p = x + 36 * b + 12 * y + 2 * c;
                ck_assert_double_eq_tol(whole[9 * b + 3 * y + c], (p[0] + p[1] + p[6] + p[7]) / 4, 2e-6);
            }
    close_spec(&f);
}
END_TEST

START_TEST(a_chain_is_its_product)
{
    static const char spec[] = "anlage: 1\n" IMPORTS "params: {batch: 3}\n" TWO "graph:\n"
        "  first: [affine_start(x), affine_rotation: {degrees: [-40.0, 40.0]}]\n"
        "  second: [affine_start(x), affine_scaling: {scale: [0.7, 1.4]}]\n"
        "  third: [affine_start(x), affine_shear: {shear: [-0.3, 0.3]}]\n"
        "  chain: affine_times(affine_times(first, second), third)\n"
        "  left: affine_sample(chain, image=x, size=10)\n"
        "  right: affine_sample(affine_times(first, affine_times(second, third)), image=x, size=10)\n";
    static const char *const fetches[] = {"first", "second", "third", "chain", "left", "right"};
    float x[PLANE], v[SOLID], *fields[] = {x, v};
    fill(x, PLANE, 5);
    fill(v, SOLID, 6);
    double m[4][B * 16], left[B * 100], right[B * 100];
    fixture f;
    open_spec(&f, spec, _i == 0, fetches, 6);
    step_fields(&f, 3, fields);
    for (int k = 0; k < 4; k++)
        fetch(&f, fetches[k], B * 16, m[k]);
    fetch(&f, "left", B * 100, left);
    fetch(&f, "right", B * 100, right);
    for (int b = 0; b < B; b++) {
        double product[16] = {0}, whole[16] = {0};
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++)
                for (int k = 0; k < 4; k++)
                    product[4 * i + j] += m[0][16 * b + 4 * i + k] * m[1][16 * b + 4 * k + j];
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++)
                for (int k = 0; k < 4; k++)
                    whole[4 * i + j] += product[4 * i + k] * m[2][16 * b + 4 * k + j];
        for (int i = 0; i < 16; i++)
            ck_assert_double_eq_tol(m[3][16 * b + i], whole[i], 2e-6);
        /* the image, at the positions that the product says */
        for (int y = 0; y < 10; y++)
            for (int c = 0; c < 10; c++) {
                double vy = (y + 0.5) * H / 10 - H / 2.0, ux = (c + 0.5) * W / 10 - W / 2.0;
                double row = whole[5] * vy + whole[6] * ux + whole[7] + (H - 1) / 2.0;
                double column = whole[9] * vy + whole[10] * ux + whole[11] + (W - 1) / 2.0;
                double sum = 0;
                int i = (int)floor(row), k = (int)floor(column);
                for (int a = 0; a < 2; a++)
                    for (int e = 0; e < 2; e++)
                        if (i + a >= 0 && i + a < H && k + e >= 0 && k + e < W)
                            sum += (a ? row - i : 1 - row + i) * (e ? column - k : 1 - column + k) * x[H * W * b + W * (i + a) + k + e];
                ck_assert_double_eq_tol(left[100 * b + 10 * y + c], sum, 2e-5);
                ck_assert_double_eq_tol(left[100 * b + 10 * y + c], right[100 * b + 10 * y + c], 2e-5);
            }
    }
    close_spec(&f);
}
END_TEST

/* ---- boxes ---- */

/* Solves the top left 3 x 3 of a [4][4] matrix for b, by Cramer's rule. */
static void solve(const double *m, const double b[3], double x[3])
{
    double a[4][3][3], determinant[4];
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++)
                a[k][i][j] = k == j + 1 ? b[i] : m[4 * i + j];
        determinant[k] = a[k][0][0] * (a[k][1][1] * a[k][2][2] - a[k][1][2] * a[k][2][1]) - a[k][0][1] * (a[k][1][0] * a[k][2][2] - a[k][1][2] * a[k][2][0]) +
                         a[k][0][2] * (a[k][1][0] * a[k][2][1] - a[k][1][1] * a[k][2][0]);
    }
    for (int i = 0; i < 3; i++)
        x[i] = determinant[i + 1] / determinant[0];
}

/* Where a box lies after all its corners have gone through the matrix; sizes along z, y, x. Returns the share that is left. */
static double through_matrix(const double *m, const float *corners, int axes, const int size[3], double out[6])
{
    double low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {-INFINITY, -INFINITY, -INFINITY}, seen = 1;
    for (int corner = 0; corner < 8; corner++) {
        double from[3] = {0}, to[3];
        for (int a = 0; a < 3; a++) {
            const int axis = a - (3 - axes);
            from[a] = (axis >= 0 ? (corners[(corner >> a & 1 ? axes : 0) + axis] - 0.5) * size[a] : 0) - m[4 * a + 3];
        }
        solve(m, from, to);
        for (int a = 0; a < 3; a++) {
            low[a] = fmin(low[a], to[a] / size[a] + 0.5);
            high[a] = fmax(high[a], to[a] / size[a] + 0.5);
        }
    }
    for (int axis = 0; axis < axes; axis++) {
        const int a = axis + 3 - axes;
        out[axis] = fmin(fmax(low[a], 0), 1);
        out[axes + axis] = fmin(fmax(high[a], 0), 1);
        seen *= (out[axes + axis] - out[axis]) / fmax(high[a] - low[a], 1e-9);
    }
    return seen;
}

/* fetch, with the axes in this order: "batch box corner". */
static void fetch_in(fixture *f, const char *name, const char *order, int64_t count, double *out)
{
    double *stored = malloc(sizeof *stored * (size_t)count);
    fetch(f, name, count, stored);
    const anl_port *port = &f->phase->program->outputs[anl_session_output(f->phase, name)];
    int place[8], rank = 0;
    char text[64];
    snprintf(text, sizeof text, "%s", order);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
        place[rank] = -1;
        for (int a = 0; a < port->rank; a++)
            if (!strcmp(port->axis[a], word))
                place[rank] = a;
        ck_assert_msg(place[rank++] >= 0, "%s has no axis %s", name, word);
    }
    ck_assert_int_eq(rank, port->rank);
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, at[8], from = 0;
        for (int a = rank - 1; a >= 0; rest /= port->size[place[a--]])
            at[place[a]] = rest % port->size[place[a]];
        for (int a = 0; a < rank; a++)
            from = from * port->size[a] + at[a];
        out[i] = stored[from];
    }
    free(stored);
}

START_TEST(boxes_follow_their_image)
{
    enum { BOXES = 2, SIDE = 16 };
    static const char spec[] = "anlage: 1\n" IMPORTS "params: {batch: 3}\n"
        "data: {train: {shards: none, fields: {x: {axes: {channel: 1, y: 12, x: 10}}, v: {axes: {channel: 1, z: 6, y: 6, x: 6}},\n"
        "  c: {axes: {box: 2, corner: 4}}, s: {axes: {box: 2, corner: 6}}}}}\n"
        "graph:\n"
        "  plane: [affine_start(x), affine_crop: {image: x, area: [0.3, 0.9], aspect: [0.7, 1.4]}, affine_rotation: {degrees: [-40.0, 40.0]}, affine_flip,\n"
        "    affine_shear: {shear: [-0.3, 0.3]}, affine_translation: {y: [-2.0, 2.0], x: [-2.0, 2.0]}]\n"
        "  solid: [affine_start(v), affine_crop: {image: v}, affine_rotation: {degrees: [-40.0, 40.0], about: 1}, affine_rotation: {degrees: [-30.0, 30.0], as: second},\n"
        "    affine_stretch: {along: 0}, affine_translation: {depth: [-1.0, 1.0], as: third}]\n"
        "  straight: [affine_start(x), affine_crop: {image: x, area: [0.6, 0.9]}, affine_flip: {probability: 1}]\n"
        "  moved: affine_boxes(c, matrix=plane, image=x)\n"
        "  turned: affine_boxes(s, matrix=solid, image=v)\n"
        "  mirrored: affine_boxes(c, matrix=straight, image=x)\n"
        "  view: affine_sample(straight, image=x, size=16)\n"
        "  moved_corners: moved.corners\n"
        "  moved_seen: moved.seen\n"
        "  turned_corners: turned.corners\n"
        "  turned_seen: turned.seen\n"
        "  mirrored_corners: mirrored.corners\n";
    static const char *const fetches[] = {"plane", "solid", "moved_corners", "moved_seen", "turned_corners", "turned_seen", "mirrored_corners", "view"};
    static const int flat[3] = {1, H, W}, deep[3] = {D, D, D};
    float x[PLANE] = {0}, v[SOLID] = {0}, c[B * BOXES * 4] = {0}, s[B * BOXES * 6] = {0}, *fields[] = {x, v, c, s};
    for (int b = 0; b < B; b++) { /* the first box is what is bright in x; the second one of the first image is none */
        const int rows[2] = {3 + b, 9}, columns[2] = {2, 6 + b};
        for (int y = rows[0]; y < rows[1]; y++)
            for (int k = columns[0]; k < columns[1]; k++)
                x[H * W * b + W * y + k] = 1;
        const float corners[4] = {(float)rows[0] / H, (float)columns[0] / W, (float)rows[1] / H, (float)columns[1] / W};
        memcpy(c + 8 * b, corners, sizeof corners);
        for (int k = 0; k < 4 && b > 0; k++)
            c[8 * b + 4 + k] = k < 2 ? 0.05f * (float)b : 0.3f + 0.2f * (float)(k - 2);
        for (int k = 0; k < 12; k++)
            s[12 * b + k] = k % 6 < 3 ? 0.1f * (float)(k % 3 + b) : 0.5f + 0.1f * (float)(k % 3 + k / 6);
    }
    double matrix[2][B * 16], moved[B * BOXES * 4], moved_seen[B * BOXES], turned[B * BOXES * 6], turned_seen[B * BOXES], mirrored[B * BOXES * 4], view[B * SIDE * SIDE];
    fixture f;
    open_spec(&f, spec, _i == 0, fetches, 8);
    for (int step = 0; step < 4; step++) {
        step_fields(&f, step, fields);
        fetch_in(&f, "plane", "batch to from", B * 16, matrix[0]);
        fetch_in(&f, "solid", "batch to from", B * 16, matrix[1]);
        fetch_in(&f, "moved_corners", "batch box corner", B * BOXES * 4, moved);
        fetch_in(&f, "moved_seen", "batch box", B * BOXES, moved_seen);
        fetch_in(&f, "turned_corners", "batch box corner", B * BOXES * 6, turned);
        fetch_in(&f, "turned_seen", "batch box", B * BOXES, turned_seen);
        fetch_in(&f, "mirrored_corners", "batch box corner", B * BOXES * 4, mirrored);
        fetch_in(&f, "view", "batch channel y x", B * SIDE * SIDE, view);
        for (int i = 0; i < B * BOXES; i++) {
            double expected[6], seen = through_matrix(matrix[0] + 16 * (i / BOXES), c + 4 * i, 2, flat, expected);
            for (int k = 0; k < 4; k++)
                ck_assert_double_eq_tol(moved[4 * i + k], expected[k], 5e-6);
            ck_assert_double_eq_tol(moved_seen[i], i == 1 ? 0 : seen, 2e-5);
            seen = through_matrix(matrix[1] + 16 * (i / BOXES), s + 6 * i, 3, deep, expected);
            for (int k = 0; k < 6; k++)
                ck_assert_double_eq_tol(turned[6 * i + k], expected[k], 5e-6);
            ck_assert_double_eq_tol(turned_seen[i], seen, 2e-5);
        }
        for (int b = 0; b < B; b++) { /* what is bright in the view lies in the box, and reaches its edges to a pixel */
            double low[2] = {SIDE, SIDE}, high[2] = {0, 0};
            for (int y = 0; y < SIDE; y++)
                for (int k = 0; k < SIDE; k++)
                    if (view[SIDE * SIDE * b + SIDE * y + k] > 0.5) {
                        low[0] = fmin(low[0], y);
                        low[1] = fmin(low[1], k);
                        high[0] = fmax(high[0], y + 1);
                        high[1] = fmax(high[1], k + 1);
                    }
            for (int a = 0; a < 2; a++) {
                ck_assert_double_eq_tol(mirrored[8 * b + a] * SIDE, low[a], 1);
                ck_assert_double_eq_tol(mirrored[8 * b + 2 + a] * SIDE, high[a], 1);
            }
        }
    }
    close_spec(&f);
}
END_TEST

START_TEST(boxes_overlap)
{
    static const char spec[] = "anlage: 1\n" IMPORTS "params: {batch: 3}\n"
        "data: {train: {shards: none, fields: {a: {axes: {box: 2, corner: 4}}, b: {axes: {box: 2, corner: 4}}, c: {axes: {corner: 6}}, d: {axes: {corner: 6}}}}}\n"
        "graph:\n"
        "  pairs: box_overlap(a, rename(b, box=other))\n"
        "  same: box_overlap(a, b)\n"
        "  general: box_generalised_overlap(a, b)\n"
        "  solid: box_overlap(c, d)\n"
        "  deep: box_generalised_overlap(c, d)\n"
        "  area: box_area(a)\n";
    static const char *const fetches[] = {"pairs", "same", "general", "solid", "deep", "area"};
    /* by hand: equal; half of each; apart; one in the other; touching; none */
    float a[B * 8] = {0, 0, 0.5f, 0.5f, 0, 0, 0.5f, 0.5f, 0, 0, 0.5f, 0.5f, 0, 0, 1, 1, 0, 0, 0.5f, 0.5f, 0, 0, 0, 0};
    float b[B * 8] = {0, 0, 0.5f, 0.5f, 0, 0.25f, 0.5f, 0.75f, 0.75f, 0.75f, 1, 1, 0.25f, 0.25f, 0.5f, 0.75f, 0, 0.5f, 0.5f, 1, 0, 0, 0.5f, 0.5f};
    float c[B * 6] = {0, 0, 0, 1, 1, 0.5f, 0, 0, 0, 0.5f, 0.5f, 0.5f, 0, 0, 0, 1, 1, 1}, d[B * 6] = {0, 0, 0, 1, 1, 1, 0.25f, 0, 0, 0.75f, 0.5f, 0.5f, 0, 0, 0, 1, 1, 1};
    static const double same[6] = {1, 1.0 / 3, 0, 0.125, 0, 0}, general[6] = {1, 1.0 / 3, 0 - (1 - 0.3125), 0.125, 0, 0}, solid[3] = {0.5, 1.0 / 3, 1};
    float *fields[] = {a, b, c, d};
    double pairs[B * 4], out[B * 2], areas[B * 2];
    fixture f;
    open_spec(&f, spec, _i == 0, fetches, 6);
    step_fields(&f, 0, fields);
    fetch_in(&f, "same", "batch box", B * 2, out);
    fetch_in(&f, "pairs", "batch box other", B * 4, pairs);
    fetch_in(&f, "area", "batch box", B * 2, areas);
    for (int i = 0; i < B * 2; i++) {
        ck_assert_double_eq_tol(out[i], same[i], 1e-6);
        ck_assert_double_eq_tol(pairs[4 * (i / 2) + 3 * (i % 2)], same[i], 1e-6); /* the diagonal */
        ck_assert_double_eq_tol(areas[i], (a[4 * i + 2] - a[4 * i]) * (a[4 * i + 3] - a[4 * i + 1]), 1e-6);
    }
    ck_assert_double_eq_tol(pairs[1], 1.0 / 3, 1e-6); /* the first of a with the second of b */
    fetch_in(&f, "general", "batch box", B * 2, out);
    for (int i = 0; i < B * 2 - 1; i++)
        ck_assert_double_eq_tol(out[i], general[i], 1e-6);
    ck_assert_double_eq_tol(out[5], 0, 1e-6); /* a box of no area within another's */
    fetch(&f, "solid", B, out);
    for (int i = 0; i < B; i++)
        ck_assert_double_eq_tol(out[i], solid[i], 1e-6);
    fetch(&f, "deep", B, out);
    for (int i = 0; i < B; i++)
        ck_assert_double_eq_tol(out[i], solid[i], 1e-6); /* the box around both is both */
    close_spec(&f);
}
END_TEST

static void moments_of(const double *x, int count, double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++)
        sum += x[i];
    *mean = sum / count;
    for (int i = 0; i < count; i++)
        squares += (x[i] - *mean) * (x[i] - *mean);
    *deviation = sqrt(squares / count);
}

START_TEST(noises_have_their_statistics)
{
    enum { N = 64 * 64 };
    static const char spec[] = "anlage: 1\n" IMPORTS "params: {batch: 2}\n"
        "data: {train: {shards: none, fields: {x: {axes: {channel: 1, y: 64, x: 64}}}}}\n"
        "graph:\n"
        "  normal_: gaussian_noise(x, std=[0.1, 0.1])\n"
        "  rician: rician_noise(x, std=[0.1, 0.1])\n"
        "  dark: rician_noise(0 * x, std=[0.1, 0.1])\n"
        "  speckle: speckle_noise(x, std=[0.2, 0.2])\n";
    static const char *const fetches[] = {"normal_", "rician", "dark", "speckle"};
    static float x[2 * N];
    static double out[2 * N];
    for (int i = 0; i < 2 * N; i++)
        x[i] = 0.5f;
    fixture f;
    open_spec(&f, spec, _i == 0, fetches, 4);
    step(&f, 0, x);
    double mean, deviation, covariance = 0, error = 0.1 / sqrt(N);
    fetch(&f, "normal_", 2 * N, out);
    for (int b = 0; b < 2; b++) {
        moments_of(out + b * N, N, &mean, &deviation);
        ck_assert_double_eq_tol(mean, 0.5, 5 * error);
        ck_assert_double_eq_tol(deviation, 0.1, 5 * error);
    }
    for (int i = 0; i < N; i++) /* samples are independent */
        covariance += (out[i] - 0.5) * (out[N + i] - 0.5) / N;
    ck_assert_double_eq_tol(covariance / 0.01, 0, 5 / sqrt(N));
    /* Rice: the second moment is signal squared plus twice the variance; without signal it is Rayleigh's distribution. */
    fetch(&f, "rician", 2 * N, out);
    double second = 0;
    for (int i = 0; i < 2 * N; i++)
        second += out[i] * out[i] / (2 * N);
    ck_assert_double_eq_tol(second, 0.25 + 0.02, 0.01);
    fetch(&f, "dark", 2 * N, out);
    moments_of(out, 2 * N, &mean, &deviation);
    ck_assert_double_eq_tol(mean, 0.1 * sqrt(M_PI / 2), 5 * error);
    ck_assert_double_eq_tol(deviation, 0.1 * sqrt(2 - M_PI / 2), 5 * error);
    fetch(&f, "speckle", 2 * N, out);
    moments_of(out, 2 * N, &mean, &deviation);
    ck_assert_double_eq_tol(mean, 0.5, 5 * error);
    ck_assert_double_eq_tol(deviation, 0.1, 5 * error);
    close_spec(&f);
}
END_TEST

START_TEST(draws_are_shared_where_they_are_made_before_the_views)
{
    enum { N = 8 * 8 };
    static const char spec[] = "anlage: 1\n" IMPORTS "params: {batch: 3}\n"
        "data: {train: {shards: none, fields: {x: {axes: {channel: 1, y: 8, x: 8}}}}}\n"
        "graph:\n"
        "  apart: [x, replicate: {view: 2}, random_crop: {size: 8, area: [0.2, 0.8]}]\n"
        "  together: [x, random_crop: {size: 8, area: [0.2, 0.8]}, replicate: {view: 2}, random_intensity: {gain: [0.5, 1.5]}]\n";
    static const char *const fetches[] = {"apart", "together"};
    float x[B * N];
    fill(x, B * N, 9);
    for (int i = 0; i < B * N; i++)
        x[i] = 0.2f + 0.4f * x[i];
    double apart[2 * B * N], together[2 * B * N];
    fixture f;
    open_spec(&f, spec, _i == 0, fetches, 2);
    step(&f, 0, x);
    fetch(&f, "apart", 2 * B * N, apart);
    fetch(&f, "together", 2 * B * N, together);
    for (int b = 0; b < B; b++) {
        const double *first = apart + b * N, *second = apart + (B + b) * N, *one = together + b * N, *two = together + (B + b) * N;
        double different = 0, ratio = two[0] / one[0];
        for (int i = 0; i < N; i++) {
            different = fmax(different, fabs(first[i] - second[i]));
            if (one[i] < 1 && two[i] < 1) /* not cut off: the same crop, another gain */
                ck_assert_double_eq_tol(two[i] / one[i], ratio, 1e-4);
        }
        ck_assert_double_gt(different, 0.01);
        ck_assert_double_gt(fabs(ratio - 1), 1e-6);
    }
    close_spec(&f);
}
END_TEST

START_TEST(fields_maps_masks_and_energies)
{
    enum { N = 40 * 40 };
    static const char spec[] = "anlage: 1\n" IMPORTS "params: {batch: 4}\n"
        "data: {train: {shards: none, fields: {x: {axes: {channel: 1, y: 40, x: 40}}}}}\n"
        "graph:\n"
        "  basis: sum(spline_basis(size=40, knots=7, axis=y, knot=knot_y), over=knot_y)\n"
        "  field: spline_field(x[channel=0], knots=5)\n"
        "  mapped: histogram_shift(x, strength=0.8)\n"
        "  boxed: cutout(x + 1, share=[0.25, 0.25], probability=1, value=-1.0)\n"
        "  masked: random_mask(x + 1, block=8, probability=0.3, value=-1.0)\n"
        "  windowed: window(1000 * x - 500, centre=0, width=400)\n"
        "  level: localized_energy(x, bands=1, reference=0.05, region=6, radius=12)\n"
        "  parts: bands_of(x, bands=1)\n"
        "  rest: parts.rest\n";
    static const char *const fetches[] = {"basis", "field", "mapped", "boxed", "masked", "windowed", "level", "rest"};
    static float x[4 * N];
    static double out[4 * N];
    fill(x, 4 * N, 11);
    fixture f;
    open_spec(&f, spec, _i == 0, fetches, 8);
    step(&f, 0, x);
    fetch(&f, "basis", 40, out);
    for (int i = 0; i < 40; i++)
        ck_assert_double_eq_tol(out[i], 1, 1e-6);
    fetch(&f, "field", 4 * N, out);
    double steepest = 0, mean, deviation;
    for (int b = 0; b < 4; b++)
        for (int i = 0; i + 1 < N; i++)
            if (i % 40 != 39)
                steepest = fmax(steepest, fabs(out[b * N + i + 1] - out[b * N + i]));
    moments_of(out, 4 * N, &mean, &deviation);
    ck_assert_double_lt(steepest, 0.3); /* smooth … */
    ck_assert_double_gt(deviation, 0.1); /* … but not flat */
    fetch(&f, "mapped", 4 * N, out);
    for (int b = 0; b < 4; b++)
        for (int i = 0; i < N; i += 7)
            for (int k = 0; k < N; k += 11) /* the order of values stays */
                ck_assert(!(x[b * N + i] < x[b * N + k] && out[b * N + i] > out[b * N + k] + 1e-6));
    fetch(&f, "boxed", 4 * N, out);
    for (int b = 0; b < 4; b++) {
        int hidden = 0;
        for (int i = 0; i < N; i++)
            hidden += out[b * N + i] == -1;
        ck_assert_int_eq(hidden, 100); /* a quarter of each side */
    }
    fetch(&f, "masked", 4 * N, out);
    int blocks = 0;
    for (int b = 0; b < 4; b++)
        for (int y = 0; y < 40; y++)
            for (int c = 0; c < 40; c++) {
                bool here = out[b * N + 40 * y + c] == -1;
                ck_assert(here == (out[b * N + 40 * (y / 8 * 8) + c / 8 * 8] == -1)); /* blocks are hidden whole */
                ck_assert(here || fabs(out[b * N + 40 * y + c] - 1 - x[b * N + 40 * y + c]) < 1e-6);
                blocks += here && y % 8 == 0 && c % 8 == 0;
            }
    ck_assert_int_ge(blocks, 12); /* of 100; 30 are expected, with a deviation of 4.6 */
    ck_assert_int_le(blocks, 50);
    fetch(&f, "windowed", 4 * N, out);
    for (int i = 0; i < 4 * N; i++)
        ck_assert_double_eq_tol(out[i], fmin(fmax((1000 * (double)x[i] - 500 + 200) / 400, 0), 1), 2e-5);
    /* After normalisation the detail of plain noise has its reference energy. */
    static double rest[4 * N];
    fetch(&f, "level", 4 * N, out);
    fetch(&f, "rest", 4 * N, rest);
    for (int i = 0; i < 4 * N; i++)
        out[i] -= rest[i];
    moments_of(out, 4 * N, &mean, &deviation);
    ck_assert_double_eq_tol(deviation, 0.05, 0.003);
    close_spec(&f);
}
END_TEST

int main(void)
{
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    Suite *suite = suite_create("augmentations");
    TCase *cases = tcase_create("augmentations");
    tcase_set_timeout(cases, 120);
    tcase_add_loop_test(cases, nothing_changes_at_strength_zero, 0, 2);
    tcase_add_loop_test(cases, affine_steps_do_what_they_say, 0, 2);
    tcase_add_loop_test(cases, boxes_follow_their_image, 0, 2);
    tcase_add_loop_test(cases, boxes_overlap, 0, 2);
    tcase_add_loop_test(cases, a_chain_is_its_product, 0, 2);
    tcase_add_loop_test(cases, noises_have_their_statistics, 0, 2);
    tcase_add_loop_test(cases, draws_are_shared_where_they_are_made_before_the_views, 0, 2);
    tcase_add_loop_test(cases, fields_maps_masks_and_energies, 0, 2);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    remove_folder();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
