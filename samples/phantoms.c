/* Makes images to try the engine on: phantoms of four modality looks with random anatomy, some with a subtle lesion.
 * In: phantoms OUT COUNT SEED [--format tiff|dicom|nifti] [--volumes] [--slices N] [--series]. Out: OUT/pNNNNN-K.tif (128x128, 2 to 4 a patient), .dcm or .nii.gz; with
 * --series, which is of volumes as DICOM, a folder OUT/pNNNNN-K with a file sNNN.dcm for each slice; OUT/labels.csv with the columns file,lesion,modality,patient; OUT/boxes.csv with the lesions' boxes in pixels of the files.
 * Plain images as TIFF run from black to white over 16 bits. All others hold what scanners store: CT Hounsfield units + 1024 (the formats that
 * can say so do), radiographs and MR 12 bits, ultrasound 8 bits; some radiographs in DICOM are MONOCHROME1. Volumes have 24 slices, or N.
 * The same seed gives the same voxels in every format; no image depends on how many there are. */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <tiffio.h>

#include "phantom_files.h"

enum { SIZE = 128, PIXELS = SIZE * SIZE, SLICES = 24, MOST_SLICES = 128 };
static const float PI = 3.14159265f;

/* ---- random numbers: splitmix64 (Steele, Lea, Flood 2014), one stream a patient and one an image ---- */

typedef struct random_stream {
    uint64_t state;
} random_stream;

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static random_stream stream_of(uint64_t seed, uint64_t patient, uint64_t image)
{
    return (random_stream){mix(seed + 0x9E3779B97F4A7C15u) ^ mix(mix(patient + 1) + image)};
}

static float uniform(random_stream *r, float low, float high)
{
    r->state += 0x9E3779B97F4A7C15u;
    return low + (high - low) * (float)(mix(r->state) >> 40) * (1.0f / 16777216.0f);
}

static bool chance(random_stream *r, float p) { return uniform(r, 0, 1) < p; }
static int between(random_stream *r, int low, int high) { return low + (int)uniform(r, 0, (float)(high - low + 1)); }

static float normal(random_stream *r)
{
    float u = uniform(r, 1e-7f, 1), v = uniform(r, 0, 2 * PI);
    return sqrtf(-2 * logf(u)) * cosf(v);
}

/* ---- shapes and textures; coordinates run from -1 to 1, x to the right, y down ---- */

typedef struct ellipse {
    float x, y, a, b, angle;
} ellipse;

/* How far inside: above 0 within, 0 on the rim, about one pixel for each 1/64 near it. */
static float inside(const ellipse *e, float x, float y)
{
    float c = cosf(e->angle), s = sinf(e->angle), dx = x - e->x, dy = y - e->y;
    float u = (c * dx + s * dy) / e->a, v = (-s * dx + c * dy) / e->b;
    return (1 - sqrtf(u * u + v * v)) * (e->a < e->b ? e->a : e->b);
}

/* 0 outside, 1 inside, soft over `width`. */
static float step_over(float depth, float width)
{
    float t = depth / width * 0.5f + 0.5f;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return t * t * (3 - 2 * t);
}

static float mask(const ellipse *e, float x, float y, float soft) { return step_over(inside(e, x, y), soft); }

static float lattice(uint64_t key, int x, int y)
{
    return (float)(mix(key + (uint64_t)(uint32_t)x * 0x9E3779B1u + ((uint64_t)(uint32_t)y << 32)) >> 40) * (2.0f / 16777216.0f) - 1;
}

/* Smooth noise in -1..1 whose grain is 1/frequency; a few octaves. */
static float noise_at(uint64_t key, float x, float y, float frequency, int octaves)
{
    float sum = 0, weight = 0.6f;
    for (int i = 0; i < octaves; i++, frequency *= 2, weight *= 0.55f, key += 77) {
        float u = x * frequency + 100, v = y * frequency + 100;
        int iu = (int)floorf(u), iv = (int)floorf(v);
        float fu = u - (float)iu, fv = v - (float)iv;
        fu = fu * fu * (3 - 2 * fu);
        fv = fv * fv * (3 - 2 * fv);
        float top = lattice(key, iu, iv) * (1 - fu) + lattice(key, iu + 1, iv) * fu;
        float low = lattice(key, iu, iv + 1) * (1 - fu) + lattice(key, iu + 1, iv + 1) * fu;
        sum += weight * (top * (1 - fv) + low * fv);
    }
    return sum;
}

/* Separable Gaussian blur, edges clamped. */
static void blur(float *image, float sigma_x, float sigma_y)
{
    static float other[PIXELS];
    float taps[25];
    for (int pass = 0; pass < 2; pass++) {
        float sigma = pass ? sigma_y : sigma_x;
        if (sigma <= 0)
            continue;
        int radius = (int)ceilf(3 * sigma);
        radius = radius > 12 ? 12 : radius;
        float sum = 0;
        for (int i = -radius; i <= radius; i++)
            sum += taps[i + radius] = expf(-0.5f * (float)(i * i) / (sigma * sigma));
        for (int y = 0; y < SIZE; y++) {
            for (int x = 0; x < SIZE; x++) {
                float value = 0;
                for (int i = -radius; i <= radius; i++) {
                    int at = (pass ? y : x) + i;
                    at = at < 0 ? 0 : at >= SIZE ? SIZE - 1 : at;
                    value += taps[i + radius] * (pass ? image[at * SIZE + x] : image[y * SIZE + at]);
                }
                other[y * SIZE + x] = value / sum;
            }
        }
        memcpy(image, other, sizeof other);
    }
}

/* ---- a patient, and one exposure of it ---- */

enum modality { PROJECTION, CT, MR, ULTRASOUND, MODALITIES };
static const char *const modality_names[MODALITIES] = {"projection", "ct", "mr", "ultrasound"};

typedef struct patient {
    enum modality modality;
    bool diseased;
    uint64_t texture;    /* key of everything that is grain in this body */
    float build, tilt;   /* size, and rotation in radians */
    ellipse organs[12];
    float levels[12];
    int organ_count;
    float fold, phase, asymmetry;
    /* the lesion lies at a place of the body, in polar coordinates of the organ that carries it */
    int host;
    float lesion_radius, lesion_distance, lesion_angle, lesion_sign, lesion_lobes, lesion_phase;
    float drift_x, drift_y, lesion_z; /* of a slice: how far the grain has moved on, how far away along z the lesion is */
} patient;

typedef struct exposure {
    random_stream random;
    bool lesion;
    float dx, dy, turn, zoom; /* pose of this image */
    float strength;           /* of the lesion */
    const random_stream *scan; /* of volumes: what all slices share is drawn from a copy of this; or NULL */
} exposure;

static void add_organ(patient *p, float x, float y, float a, float b, float angle, float level)
{
    p->organs[p->organ_count] = (ellipse){x, y, a, b, angle};
    p->levels[p->organ_count++] = level;
}

static patient make_patient(uint64_t seed, int number)
{
    random_stream r = stream_of(seed, (uint64_t)number, 0);
    patient p = {.modality = (enum modality)between(&r, 0, MODALITIES - 1)};
    p.diseased = chance(&r, 0.45f);
    p.texture = mix(seed * 31 + (uint64_t)number);
    p.build = uniform(&r, 0.85f, 1.08f);
    p.tilt = uniform(&r, -0.12f, 0.12f);
    p.fold = uniform(&r, 2.6f, 4.2f);
    p.phase = uniform(&r, 0, 2 * PI);
    p.asymmetry = uniform(&r, -0.05f, 0.05f);
    switch (p.modality) {
    case PROJECTION: { /* organs 0, 1: lungs; 2: heart; the rest: hila */
        float height = uniform(&r, 0.50f, 0.66f), width = uniform(&r, 0.24f, 0.32f), apart = uniform(&r, 0.36f, 0.44f);
        add_organ(&p, -apart, -0.08f, width, height, uniform(&r, 0.02f, 0.18f), uniform(&r, -0.36f, -0.26f));
        add_organ(&p, apart, -0.06f, width * 0.95f, height, -uniform(&r, 0.02f, 0.18f), uniform(&r, -0.36f, -0.26f));
        add_organ(&p, uniform(&r, 0.05f, 0.16f), uniform(&r, 0.14f, 0.28f), uniform(&r, 0.22f, 0.34f), uniform(&r, 0.20f, 0.30f),
                  uniform(&r, 0.2f, 0.7f), uniform(&r, 0.18f, 0.28f));
        add_organ(&p, -0.16f, 0.02f, 0.08f, 0.14f, 0.3f, uniform(&r, 0.04f, 0.10f));
        p.host = between(&r, 0, 1);
        p.lesion_sign = 1;
        break;
    }
    case CT: { /* organ 0: liver; then spleen, two kidneys, gut */
        add_organ(&p, -0.30f, -0.12f, uniform(&r, 0.34f, 0.42f), uniform(&r, 0.28f, 0.38f), uniform(&r, -0.3f, 0.4f), uniform(&r, 0.10f, 0.16f));
        add_organ(&p, 0.50f, uniform(&r, -0.1f, 0.1f), uniform(&r, 0.14f, 0.2f), uniform(&r, 0.18f, 0.26f), 0.4f, uniform(&r, 0.09f, 0.15f));
        add_organ(&p, -0.36f, 0.36f, 0.12f, 0.16f, uniform(&r, -0.6f, 0.6f), uniform(&r, 0.16f, 0.24f));
        add_organ(&p, 0.36f, 0.38f, 0.12f, 0.16f, uniform(&r, -0.6f, 0.6f), uniform(&r, 0.16f, 0.24f));
        int loops = between(&r, 2, 5);
        for (int i = 0; i < loops; i++)
            add_organ(&p, uniform(&r, 0.02f, 0.44f), uniform(&r, -0.46f, -0.10f), uniform(&r, 0.06f, 0.13f), uniform(&r, 0.05f, 0.11f),
                      uniform(&r, 0, PI), chance(&r, 0.4f) ? -0.30f : uniform(&r, -0.06f, 0.10f));
        p.lesion_sign = -1;
        break;
    }
    case MR: { /* organ 0: the brain inside its folds; 1, 2: ventricles; 3, 4: deep grey matter */
        float opening = uniform(&r, 0.06f, 0.13f), length = uniform(&r, 0.18f, 0.30f);
        add_organ(&p, 0, 0, 0.56f, 0.68f, 0, 0);
        add_organ(&p, -0.10f, uniform(&r, -0.1f, 0.05f), opening, length, uniform(&r, 0.1f, 0.5f), 0);
        add_organ(&p, 0.10f, uniform(&r, -0.1f, 0.05f), opening, length, -uniform(&r, 0.1f, 0.5f), 0);
        add_organ(&p, -0.22f, 0.10f, 0.10f, 0.14f, 0.3f, 0);
        add_organ(&p, 0.22f, 0.10f, 0.10f, 0.14f, -0.3f, 0);
        p.lesion_sign = chance(&r, 0.75f) ? 1 : -1;
        break;
    }
    default: { /* ultrasound: organ 0: parenchyma; then vessels without echo */
        add_organ(&p, 0, 0.15f, 0.55f, 0.55f, 0, 0);
        int vessels = between(&r, 1, 4);
        for (int i = 0; i < vessels; i++)
            add_organ(&p, uniform(&r, -0.45f, 0.45f), uniform(&r, -0.35f, 0.7f), uniform(&r, 0.10f, 0.30f), uniform(&r, 0.025f, 0.05f),
                      uniform(&r, 0, PI), 0);
        p.lesion_sign = chance(&r, 0.7f) ? -1 : 1;
        break;
    }
    }
    p.lesion_radius = uniform(&r, 0.12f, 0.19f);
    p.lesion_distance = uniform(&r, p.modality == MR ? 0.42f : 0.0f, p.modality == MR ? 0.72f : 0.62f);
    p.lesion_angle = uniform(&r, 0, 2 * PI);
    p.lesion_lobes = uniform(&r, 0.1f, 0.35f);
    p.lesion_phase = uniform(&r, 0, 2 * PI);
    return p;
}

/* 0..1: how much of the lesion there is at a point of the body. */
static float lesion_at(const patient *p, float x, float y)
{
    const ellipse *host = &p->organs[p->host];
    float u = p->lesion_distance * host->a * cosf(p->lesion_angle), v = p->lesion_distance * host->b * sinf(p->lesion_angle);
    float c = cosf(host->angle), s = sinf(host->angle);
    float dx = x - (host->x + c * u - s * v), dy = y - (host->y + s * u + c * v);
    float distance = sqrtf(dx * dx + dy * dy + p->lesion_z * p->lesion_z), direction = atan2f(dy, dx);
    float radius = p->lesion_radius * (1 + p->lesion_lobes * (0.6f * sinf(2 * direction + p->lesion_phase) + 0.4f * sinf(3 * direction - p->lesion_phase)));
    float t = distance / radius;
    return t > 2 ? 0 : expf(-t * t * t * 1.2f);
}

/* ---- the four looks: brightness 0..1 at a point of the body ---- */

static float grain_at(const patient *p, uint64_t which, float x, float y, float frequency, int octaves)
{
    return noise_at(p->texture + which, x + p->drift_x, y + p->drift_y, frequency, octaves);
}

static float projection_look(const patient *p, float x, float y, float lesion)
{
    ellipse trunk = {0, 0.25f, 0.92f, 1.25f, 0};
    float body = mask(&trunk, x, y, 0.25f);
    float value = 0.08f + 0.52f * body;
    float lungs = 0;
    for (int i = 0; i < 2; i++) {
        float in = mask(&p->organs[i], x, y, 0.09f);
        lungs += in;
        value += p->levels[i] * in;
    }
    for (int i = 2; i < p->organ_count; i++)
        value += p->levels[i] * mask(&p->organs[i], x, y, i == 2 ? 0.07f : 0.12f);
    /* spine, ribs as pairs of falling arcs, vessels as ridges of noise that thin out towards the rim of the lung */
    value += 0.14f * expf(-x * x / 0.010f) * (0.85f + 0.15f * sinf(26 * y + p->phase)) * body;
    float rib = sinf(17 * (y + 0.55f * x * x + p->asymmetry * x) * (p->fold / 3.2f) + p->phase);
    value += 0.085f * step_over(rib - 0.45f, 0.5f) * body * step_over(fabsf(x) - 0.08f, 0.1f) * step_over(0.75f - y, 0.3f);
    float ridge = 1 - fabsf(grain_at(p, 0, x, y, 5, 3)) * 3.2f;
    value += 0.12f * (ridge > 0 ? ridge : 0) * (lungs > 1 ? 1 : lungs) * expf(-fabsf(fabsf(x) - 0.2f) * 2.2f);
    value += 0.035f * grain_at(p, 9, x, y, 3, 4) * body;
    return value + 0.20f * lesion * body;
}

static float ct_look(const patient *p, float x, float y, float lesion)
{
    ellipse skin = {0, 0, 0.92f, 0.70f, p->asymmetry}, muscle = {0, 0.01f, 0.92f - 0.05f * p->fold / 2, 0.70f - 0.04f * p->fold / 2, p->asymmetry},
            cavity = {0, -0.03f, 0.74f, 0.50f, p->asymmetry}, spine = {0, 0.40f, 0.11f, 0.11f, 0}, canal = {0, 0.46f, 0.04f, 0.035f, 0},
            aorta = {-0.06f, 0.24f, 0.055f, 0.055f, 0};
    float body = mask(&skin, x, y, 0.02f), value = 0.02f + 0.26f * body; /* fat */
    value += 0.20f * mask(&muscle, x, y, 0.03f) - 0.12f * mask(&cavity, x, y, 0.04f);
    float organ = 0;
    for (int i = p->organ_count - 1; i >= 0; i--) {
        float in = mask(&p->organs[i], x, y, 0.02f);
        value += in * (0.42f + p->levels[i] - value);
        if (i == 0)
            organ = in;
    }
    /* vessels of the liver: thin bright ridges; the lesion is darker and round */
    float ridge = 1 - fabsf(grain_at(p, 0, x, y, 4.5f, 2)) * 9;
    value += 0.07f * (ridge > 0 ? ridge : 0) * organ;
    float bone = mask(&spine, x, y, 0.02f) - mask(&canal, x, y, 0.02f);
    value += bone * (0.88f - value) + mask(&aorta, x, y, 0.02f) * (0.60f - value);
    for (int i = -1; i <= 1; i += 2) { /* ribs in the wall */
        for (int k = 0; k < 3; k++) {
            float angle = p->phase + 0.9f * (float)k;
            ellipse rib = {(float)i * 0.80f * cosf(0.5f * sinf(angle)), 0.42f * sinf(angle), 0.05f, 0.025f, (float)i * (1.2f + 0.3f * sinf(angle))};
            value += mask(&rib, x, y, 0.015f) * (0.85f - value) * body;
        }
    }
    value += 0.02f * grain_at(p, 5, x, y, 4, 3) * body;
    return value + 0.14f * p->lesion_sign * lesion;
}

static float mr_look(const patient *p, float x, float y, float lesion)
{
    ellipse scalp = {0, 0, 0.76f, 0.88f, 0}, skull = {0, 0, 0.70f, 0.82f, 0}, csf = {0, 0, 0.64f, 0.76f, 0};
    float value = 0.03f + 0.62f * mask(&scalp, x, y, 0.03f);
    value += mask(&skull, x, y, 0.03f) * (0.10f - value);
    value += mask(&csf, x, y, 0.03f) * (0.22f - value);
    /* folds: the rim of the white matter and of the cortex is pushed about by the same noise */
    float warp = 0.055f * grain_at(p, 0, x, y, p->fold, 3) + 0.03f * sinf(9 * atan2f(y, x) + p->phase + 5 * grain_at(p, 3, x, y, 2, 2));
    const ellipse *brain = &p->organs[0];
    float depth = inside(brain, x, y) + warp;
    float sulcus = 1 - fabsf(grain_at(p, 21, x, y, p->fold * 1.3f, 2)) * 7;
    float cortex = step_over(depth + 0.05f, 0.03f) * (1 - 0.8f * (sulcus > 0 ? sulcus : 0) * step_over(0.22f - depth, 0.1f));
    value += cortex * (0.46f - value);
    value += step_over(depth - 0.07f, 0.05f) * (1 - 0.5f * (sulcus > 0 ? sulcus : 0) * step_over(0.22f - depth, 0.1f)) * (0.64f - value);
    value += expf(-x * x / 0.0006f) * step_over(fabsf(y) - 0.2f, 0.1f) * mask(brain, x, y, 0.04f) * (0.22f - value);
    for (int i = 3; i < 5; i++)
        value += mask(&p->organs[i], x, y, 0.04f) * (0.47f - value);
    for (int i = 1; i < 3; i++)
        value += mask(&p->organs[i], x, y, 0.03f) * (0.16f - value);
    value += 0.03f * grain_at(p, 41, x, y, 6, 2) * cortex;
    return value + 0.24f * p->lesion_sign * lesion * cortex;
}

/* Echogenicity, not brightness: speckle is made of it. */
static float ultrasound_look(const patient *p, float x, float y, float lesion)
{
    float depth = y + 0.04f * grain_at(p, 0, x, y, 2, 2);
    float value = 0.34f;
    /* skin, fat, fascia, then parenchyma and a bright interface deep below */
    value += 0.5f * expf(-(depth + 0.78f) * (depth + 0.78f) / 0.004f);
    value += 0.6f * expf(-(depth + 0.52f + p->asymmetry) * (depth + 0.52f + p->asymmetry) / 0.0012f);
    value *= depth < -0.5f ? 0.8f : 1;
    float floor_line = depth - 0.78f - 0.15f * sinf(1.7f * x + p->phase);
    value += 0.9f * expf(-floor_line * floor_line / 0.003f);
    value *= 1 + 0.55f * grain_at(p, 5, x, y, p->fold, 3);
    for (int i = 1; i < p->organ_count; i++) {
        float in = mask(&p->organs[i], x, y, 0.02f);
        value += in * (0.015f - value);
        float rim = inside(&p->organs[i], x, y);
        value += 0.25f * expf(-rim * rim / 0.0003f);
    }
    float change = p->lesion_sign < 0 ? -0.92f : 4.0f;
    value *= 1 + change * lesion;
    return value > 0.003f ? value : 0.003f;
}

/* Pixel to body: the pose of this image upon the body's own. */
static void to_body(const patient *p, const exposure *e, int column, int row, float *x, float *y)
{
    float u = ((float)column + 0.5f) / (SIZE / 2) - 1 - e->dx, v = ((float)row + 0.5f) / (SIZE / 2) - 1 - e->dy;
    float angle = p->modality == ULTRASOUND ? e->turn : p->tilt + e->turn, scale = 1 / (p->build * e->zoom);
    float c = cosf(angle), s = sinf(angle);
    *x = (c * u + s * v) * scale;
    *y = (-s * u + c * v) * scale;
}

/* A fan from a point above the image. */
static float sector(int column, int row)
{
    float u = ((float)column + 0.5f) / (SIZE / 2) - 1, v = ((float)row + 0.5f) / (SIZE / 2) - 1 + 1.35f;
    float range = sqrtf(u * u + v * v), angle = fabsf(atan2f(u, v));
    return step_over(0.62f - angle, 0.015f) * step_over(range - 0.42f, 0.015f) * step_over(2.30f - range, 0.015f);
}

static void render(const patient *p, exposure *e, float *image)
{
    static float (*const looks[MODALITIES])(const patient *, float, float, float) = {projection_look, ct_look, mr_look, ultrasound_look};
    static float grain[PIXELS], other[PIXELS];
    random_stream *r = &e->random;
    for (int row = 0; row < SIZE; row++) {
        for (int column = 0; column < SIZE; column++) {
            float x, y;
            to_body(p, e, column, row, &x, &y);
            image[row * SIZE + column] = looks[p->modality](p, x, y, e->lesion ? e->strength * lesion_at(p, x, y) : 0);
        }
    }
    for (int i = 0; i < PIXELS; i++) {
        grain[i] = normal(r);
        other[i] = normal(r);
    }
    random_stream shared = e->scan ? *e->scan : (random_stream){0};
    r = e->scan ? &shared : r;
    float gain = uniform(r, 0.88f, 1.12f), offset = uniform(r, -0.03f, 0.03f);
    switch (p->modality) {
    case PROJECTION: /* scatter, then noise that grows where little gets through */
        blur(image, 0.7f, 0.7f);
        blur(grain, 0.5f, 0.5f);
        for (int i = 0; i < PIXELS; i++)
            image[i] = gain * image[i] + offset + 0.055f * sqrtf(image[i] > 0.05f ? image[i] : 0.05f) * grain[i];
        break;
    case CT: /* noise with the texture of a reconstruction: fine grain minus what is coarse of it */
        blur(image, 0.6f, 0.6f);
        memcpy(other, grain, sizeof other);
        blur(grain, 0.8f, 0.8f);
        blur(other, 2.2f, 2.2f);
        for (int i = 0; i < PIXELS; i++)
            image[i] = 1.02f * image[i] + 0.09f * (grain[i] - other[i]) + 0.2f * offset;
        break;
    case MR: { /* coil sensitivity, Rician noise */
        float sx = uniform(r, -0.3f, 0.3f), sy = uniform(r, -0.3f, 0.3f), curve = uniform(r, -0.25f, 0.1f);
        blur(image, 0.6f, 0.6f);
        for (int i = 0; i < PIXELS; i++) {
            float u = (float)(i % SIZE) / (SIZE / 2) - 1, v = (float)(i / SIZE) / (SIZE / 2) - 1;
            float real = gain * image[i] * (1 + sx * u + sy * v + curve * (u * u + v * v)) + 0.045f * grain[i], imaginary = 0.045f * other[i];
            image[i] = sqrtf(real * real + imaginary * imaginary);
        }
        break;
    }
    default: /* scatterers seen through a pulse wider than long; log compression; gain that falls with depth */
        for (int i = 0; i < PIXELS; i++) {
            grain[i] *= sqrtf(image[i]);
            other[i] *= sqrtf(image[i]);
        }
        blur(grain, 1.5f, 0.75f);
        blur(other, 1.5f, 0.75f);
        for (int i = 0; i < PIXELS; i++) {
            float depth = (float)(i / SIZE) / SIZE, attenuation = expf(-0.9f * depth);
            float amplitude = 2.4f * attenuation * sqrtf(grain[i] * grain[i] + other[i] * other[i]);
            image[i] = gain * (0.78f + 0.235f * logf(amplitude + 0.01f)) * sector(i % SIZE, i / SIZE);
        }
        break;
    }
}

/* ---- volumes: slices of one body ---- */

/* The body at a height z from -1 (feet) to 1 (head): organs are ellipsoids, grain moves on slowly. */
static patient slice_of(const patient *p, float z)
{
    patient q = *p;
    random_stream r = {mix(p->texture + 1234567)};
    for (int i = 0; i < p->organ_count; i++) {
        float middle = uniform(&r, -0.2f, 0.2f), reach = uniform(&r, 0.9f, 1.4f), u = (z - middle) / reach;
        float size = u * u < 0.98f ? sqrtf(1 - u * u) : 0.14f;
        q.organs[i].a *= size;
        q.organs[i].b *= size;
    }
    q.drift_x = 0.35f * z;
    q.drift_y = 0.2f * z;
    q.lesion_z = z - uniform(&r, -0.35f, 0.35f);
    return q;
}

/* How wide the body is there, to its middle: heads are round, trunks nearly straight. */
static float width_at(enum modality modality, float z)
{
    static const float round[MODALITIES] = {0.25f, 0.2f, 0.7f, 0};
    return sqrtf(1 - round[modality] * round[modality] * z * z);
}

typedef struct box {
    int low[3], high[3]; /* x, y, z of the first and the last voxel; high below low: none */
} box;

/* Takes in where the lesion shows in a slice. */
static void grow_box(box *b, const patient *p, const exposure *e, int slice)
{
    for (int row = 0; row < SIZE; row++)
        for (int column = 0; column < SIZE; column++) {
            float x, y;
            to_body(p, e, column, row, &x, &y);
            if (lesion_at(p, x, y) < 0.3f)
                continue;
            const int at[3] = {column, row, slice};
            for (int i = 0; i < 3; i++) {
                b->low[i] = at[i] < b->low[i] ? at[i] : b->low[i];
                b->high[i] = at[i] > b->high[i] ? at[i] : b->high[i];
            }
        }
}

/* Brightness becomes Hounsfield units: air, fat, soft tissue, vessels with contrast, bone. */
static float hounsfield(float value)
{
    static const float table[][2] = {{0.02f, -1000}, {0.28f, -100}, {0.42f, 40}, {0.60f, 180}, {0.88f, 700}, {1.1f, 1100}};
    enum { LAST = sizeof table / sizeof *table - 1 };
    if (value <= table[0][0])
        return table[0][1];
    for (int i = 0; i < LAST; i++)
        if (value < table[i + 1][0])
            return table[i][1] + (table[i + 1][1] - table[i][1]) * (value - table[i][0]) / (table[i + 1][0] - table[i][0]);
    return table[LAST][1];
}

/* One slice as a scanner stores it. */
static void store(enum modality modality, const float *image, uint16_t *voxels)
{
    for (int i = 0; i < PIXELS; i++) {
        const float value = image[i] < 0 ? 0 : image[i] > 1 ? 1 : image[i];
        voxels[i] = (uint16_t)lrintf(modality == CT ? hounsfield(image[i]) + 1024 : value * (modality == ULTRASOUND ? 255 : 4095));
    }
}

/* ---- files ---- */

static bool write_tiff(const char *path, const float *image, bool compressed)
{
    TIFF *tiff = TIFFOpen(path, "w"); /* LibTIFF itself says on stderr what went wrong */
    if (!tiff)
        return false;
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, SIZE);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, SIZE);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 16);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
    TIFFSetField(tiff, TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, compressed ? COMPRESSION_LZW : COMPRESSION_NONE);
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 32);
    bool good = true;
    for (int row = 0; good && row < SIZE; row++) {
        uint16_t line[SIZE];
        for (int column = 0; column < SIZE; column++) {
            float value = image[row * SIZE + column];
            value = value < 0 ? 0 : value > 1 ? 1 : value;
            line[column] = (uint16_t)lrintf(value * 65535);
        }
        good = TIFFWriteScanline(tiff, line, (uint32_t)row, 0) == 1;
    }
    good = TIFFFlush(tiff) == 1 && good;
    TIFFClose(tiff);
    return good;
}

static bool parse_number(const char *text, unsigned long long most, unsigned long long *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && !*end && !errno && *out <= most;
}

/* ---- the command ---- */

enum format { FORMAT_TIFF, FORMAT_DICOM, FORMAT_NIFTI, FORMATS };

typedef struct making {
    const char *folder;
    unsigned long long seed;
    enum format format;
    bool volumes;
    bool series; /* a file a slice */
    int only;   /* the one modality that is made, or -1 */
    int slices; /* of a volume; the body is as long for few as for many */
    FILE *labels, *boxes;
} making;

/* A folder with a file for each slice. */
static bool write_series(const char *folder, const phantom_scan *s)
{
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "phantoms: %s: %s\n", folder, strerror(errno));
        return false;
    }
    bool good = true;
    for (int z = 0; z < s->depth && good; z++) {
        char *path = NULL;
        good = asprintf(&path, "%s/s%03d.dcm", folder, z + 1) >= 0;
        if (!good) {
            fprintf(stderr, "phantoms: out of memory\n");
            break;
        }
        good = phantom_write_dicom_slice(path, s, z);
        free(path);
    }
    return good;
}

/* One image or volume of a patient, its row in the table of labels, and its box. */
static bool make(const making *m, const patient *p, int number, int i, float *image, uint16_t *voxels)
{
    static const char *const endings[FORMATS] = {".tif", ".dcm", ".nii.gz"};
    exposure e = {.random = stream_of(m->seed, (uint64_t)number, (uint64_t)i + 2)};
    e.lesion = p->diseased && chance(&e.random, 0.9f); /* 0.45 x 0.9: two images in five */
    e.dx = uniform(&e.random, -0.08f, 0.08f);
    e.dy = uniform(&e.random, -0.06f, 0.06f);
    e.turn = uniform(&e.random, -0.08f, 0.08f);
    e.zoom = uniform(&e.random, 0.95f, 1.05f);
    e.strength = uniform(&e.random, 0.8f, 1.2f);
    const random_stream scan = stream_of(m->seed, (uint64_t)number, (uint64_t)i + 1002);
    const float zoom = e.zoom;
    const int slices = m->volumes ? m->slices : 1;
    box lesion = {{SIZE, SIZE, MOST_SLICES}, {-1, -1, -1}};
    for (int z = 0; z < slices; z++) {
        const float height = m->volumes ? 1.8f * (((float)z + 0.5f) / (float)slices - 0.5f) : 0;
        const patient body = m->volumes ? slice_of(p, height) : *p;
        e.scan = m->volumes ? &scan : NULL;
        e.zoom = m->volumes ? zoom * width_at(p->modality, height) : zoom;
        if (e.lesion)
            grow_box(&lesion, &body, &e, z);
        render(&body, &e, image);
        store(p->modality, image, voxels + (size_t)z * PIXELS);
    }

    char name[64], id[16], *path = NULL;
    snprintf(id, sizeof id, "p%05d", number);
    snprintf(name, sizeof name, "p%05d-%d%s", number, i + 1, m->series ? "" : endings[m->format]);
    if (asprintf(&path, "%s/%s", m->folder, name) < 0) {
        fprintf(stderr, "phantoms: out of memory\n");
        return false;
    }
    static const phantom_kind kinds[MODALITIES] = {PHANTOM_RADIOGRAPH, PHANTOM_CT, PHANTOM_MR, PHANTOM_ULTRASOUND};
    static const double plane[MODALITIES] = {2.8, 2.8, 1.7, 1.2}, apart[MODALITIES] = {8, 5, 4, 1.2}; /* mm */
    const double size = 0.9 + 0.05 * (double)(mix(p->texture + 7) % 5);                              /* of this patient's field of view */
    const phantom_scan s = {.kind = kinds[p->modality],
                            .width = SIZE,
                            .height = SIZE,
                            .depth = slices,
                            .bits = p->modality == ULTRASOUND ? 8 : 12,
                            .voxels = voxels,
                            .intercept = p->modality == CT ? -1024 : 0,
                            .spacing = {plane[p->modality] * size, plane[p->modality] * size, apart[p->modality] * SLICES / m->slices},
                            .white_first = p->modality == PROJECTION && !m->volumes && number % 2 == 1,
                            .patient = id,
                            .number = mix(m->seed + 17) ^ ((uint64_t)number * 64 + (uint64_t)i)};
    bool good = m->series                   ? write_series(path, &s)
                : m->format == FORMAT_DICOM ? phantom_write_dicom(path, &s)
                : m->format == FORMAT_NIFTI ? phantom_write_nifti(path, &s)
                : m->volumes                ? phantom_write_tiff(path, &s)
                                            : write_tiff(path, image, number % 2 == 1);
    if (good) {
        fprintf(m->labels, "%s,%d,%s,p%05d\n", name, e.lesion, modality_names[p->modality], number);
        for (int i = 0; i < 2 && m->format == FORMAT_NIFTI && lesion.high[0] >= 0; i++) { /* these run the other way in the file */
            const int low = lesion.low[i];
            lesion.low[i] = SIZE - 1 - lesion.high[i];
            lesion.high[i] = SIZE - 1 - low;
        }
        if (lesion.high[0] >= 0)
            fprintf(m->boxes, "%s,lesion,%d,%d,%d,%d,%d,%d\n", name, lesion.low[0], lesion.low[1], lesion.low[2], lesion.high[0] + 1,
                    lesion.high[1] + 1, lesion.high[2] + 1);
    } else
        fprintf(stderr, "phantoms: %s could not be written\n", path);
    free(path);
    return good;
}

static FILE *open_table(const char *folder, const char *name, const char *header)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0) {
        fprintf(stderr, "phantoms: out of memory\n");
        return NULL;
    }
    FILE *table = fopen(path, "w");
    if (table)
        fprintf(table, "%s\n", header);
    else
        fprintf(stderr, "phantoms: %s: %s\n", path, strerror(errno));
    free(path);
    return table;
}

static bool close_table(FILE *table, const char *folder, const char *name)
{
    const bool failed = ferror(table);
    if (fclose(table) == 0 && !failed)
        return true;
    fprintf(stderr, "phantoms: %s/%s: %s\n", folder, name, strerror(errno));
    return false;
}

static bool parse_arguments(int argc, char **argv, making *m, unsigned long long *count)
{
    static const char *const formats[FORMATS] = {"tiff", "dicom", "nifti"};
    if (argc < 4 || !parse_number(argv[2], 10000000, count) || *count == 0 || !parse_number(argv[3], UINT64_MAX, &m->seed))
        return false;
    m->folder = argv[1];
    for (int a = 4; a < argc; a++) {
        unsigned long long slices;
        bool known = !strcmp(argv[a], "--volumes");
        m->volumes = m->volumes || known;
        if (!strcmp(argv[a], "--series")) {
            m->series = true;
            continue;
        }
        if (!strcmp(argv[a], "--slices") && ++a < argc && parse_number(argv[a], MOST_SLICES, &slices) && slices > 1) {
            m->slices = (int)slices;
            continue;
        }
        if (a < argc && !strcmp(argv[a], "--modality") && ++a < argc) {
            for (int k = 0; k < MODALITIES; k++)
                if (!strcmp(argv[a], modality_names[k])) {
                    m->only = k;
                    known = true;
                }
        } else if (a < argc && !strcmp(argv[a], "--format") && ++a < argc)
            for (int f = 0; f < FORMATS; f++)
                if (!strcmp(argv[a], formats[f])) {
                    m->format = (enum format)f;
                    known = true;
                }
        if (!known)
            return false;
    }
    return !m->series || (m->volumes && m->format == FORMAT_DICOM);
}

int main(int argc, char **argv)
{
    making m = {.slices = SLICES, .only = -1};
    unsigned long long count = 0;
    if (!parse_arguments(argc, argv, &m, &count)) {
        fprintf(stderr, "usage: phantoms OUT COUNT SEED [--format tiff|dicom|nifti] [--volumes] [--slices N] [--series]\n"
                        "                               [--modality projection|ct|mr|ultrasound]\n"
                        "  writes COUNT images or volumes (1 to 10000000), labels.csv and boxes.csv to the folder OUT; SEED is a number\n");
        return 2;
    }
    if (m.format == FORMAT_NIFTI && !phantom_has_nifti()) {
        fprintf(stderr, "phantoms: built without libnifti2 (Debian: libnifti2-dev), so there is no --format nifti\n");
        return 1;
    }
    if (mkdir(m.folder, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "phantoms: %s: %s\n", m.folder, strerror(errno));
        return 1;
    }
    m.labels = open_table(m.folder, "labels.csv", "file,lesion,modality,patient");
    m.boxes = m.labels ? open_table(m.folder, "boxes.csv", "file,class,x0,y0,z0,x1,y1,z1") : NULL;
    static float image[PIXELS];
    static uint16_t voxels[MOST_SLICES * PIXELS];
    bool good = m.labels && m.boxes;
    unsigned long long made = 0;
    for (int number = 0; good && made < count; number++) {
        const patient p = make_patient(m.seed, number);
        if (m.only >= 0 && (int)p.modality != m.only)
            continue;
        random_stream counts = stream_of(m.seed, (uint64_t)number, 1);
        const int images = between(&counts, 2, 4);
        for (int i = 0; good && i < images && made < count; i++, made++)
            good = make(&m, &p, number, i, image, voxels);
    }
    if (m.labels)
        good = close_table(m.labels, m.folder, "labels.csv") && good;
    if (m.boxes)
        good = close_table(m.boxes, m.folder, "boxes.csv") && good;
    return good ? 0 : 1;
}
