/* Tests of the rules that judge a spec against shards (--data), and of what shards say of themselves.
 * In: shards written here into a temporary folder, and the base recipe of the rules' pages. Out: check's report.
 * Every rule is shown a mistake that it must find and the same data put right, which must be clean. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tiffio.h>
#include <unistd.h>

#include <anlage/dataset.h>
#include <anlage/diagnostic_codes.h>
#include <anlage/lint.h>
#include <anlage/modality.h>

#include "base/base.h"
#include "data/patients.h"
#include "data/shard.h"

enum { SIZE = 16 };

static char root[64];
static anl_arena *arena;
static anl_diagnostics *problems;

static const char *in_root(const char *name) { return anl_arena_printf(arena, "%s/%s", root, name); }

static void setup(void)
{
    strcpy(root, "/tmp/anlage-lint-data-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    arena = anl_arena_new();
    problems = anl_diagnostics_new();
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", root);
    ck_assert_int_eq(system(command), 0);
    anl_diagnostics_free(&problems);
    anl_arena_free(&arena);
}

/* ---- shards ---- */

typedef struct recorded {
    const char *split, *modality, *unit;
    int bits, greatest;
    double scale, offset;        /* 0: what pack would write */
    int depth;                   /* 0: no volumes */
    const char *const *patients; /* one for each sample, to NULL */
    const double (*spacing)[3];  /* x, y, z of each sample, or NULL */
    bool relative;
} recorded;

static const char *const one_patient[] = {"p1", NULL};

/* A shard of the base recipe's fields. Values run from 0 to `greatest` in every image. */
static const char *make_shard(const char *name, recorded r)
{
    static const anl_shard_column columns[] = {{.name = "label.a"}, {.name = "label.b"}, {.name = "label.c"}};
    static const double labels[] = {0, 1, NAN};
    int bits = r.bits ? r.bits : 8, most = bits == 16 ? 65535 : 255, greatest = r.greatest ? r.greatest : most;
    anl_shard_schema schema = {.image = {.volume = r.depth > 0,
                                         .depth = r.depth > 0 ? r.depth : 1,
                                         .height = SIZE,
                                         .width = SIZE,
                                         .channels = 1,
                                         .type = bits == 16 ? ANL_VOXEL_U16 : ANL_VOXEL_U8,
                                         .bits = bits,
                                         .scale = r.scale > 0 ? r.scale : 1.0 / most,
                                         .offset = r.offset,
                                         .values = r.unit       ? ANL_VALUES_UNIT
                                                   : r.relative ? ANL_VALUES_RELATIVE
                                                                : ANL_VALUES_FULL,
                                         .unit = r.unit ? r.unit : ""},
                               .columns = columns,
                               .column_count = 3,
                               .has_patient = true,
                               .has_spacing = r.spacing != NULL,
                               .options = "{}",
                               .modality = r.modality};
    const char *path = in_root(name);
    char reason[ANL_REASON_SIZE];
    anl_shard_writer *writer;
    const char *const *patients = r.patients ? r.patients : one_patient;
    ck_assert_int_eq(anl_shard_create(path, &schema, r.split ? r.split : "train", 64, &writer, reason), ANL_OK);
    for (int i = 0; patients[i]; i++) {
        static uint8_t pixels[SIZE * SIZE * SIZE * 2];
        int count = SIZE * SIZE * schema.image.depth;
        for (int k = 0; k < count; k++) {
            int v = (int)((long long)greatest * k / (count - 1));
            if (bits == 16) {
                pixels[2 * k] = (uint8_t)v;
                pixels[2 * k + 1] = (uint8_t)(v >> 8);
            } else
                pixels[k] = (uint8_t)v;
        }
        anl_shard_sample sample = {.stored = pixels,
                                   .length = anl_shard_image_bytes(&schema.image),
                                   .file = "image.tif",
                                   .patient = patients[i],
                                   .numbers = labels,
                                   .range = {0, greatest}};
        for (int a = 0; r.spacing && a < 3; a++)
            sample.spacing[a] = r.spacing[i][a];
        ck_assert_int_eq(anl_shard_add(writer, &sample, reason), ANL_OK);
    }
    ck_assert_int_eq(anl_shard_finish(&writer, reason), ANL_OK);
    return path;
}

typedef void change(hid_t file, hid_t image);

static void change_shard(const char *path, change *how)
{
    anl_hdf5_lock();
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), image = H5Dopen2(file, "image", H5P_DEFAULT);
    ck_assert_int_ge(image, 0);
    how(file, image);
    H5Dclose(image);
    H5Fclose(file);
    anl_hdf5_unlock();
}

static void make_inverted(hid_t file, hid_t image)
{
    (void)file;
    ck_assert_int_ge(H5Adelete(image, "photometric"), 0);
    ck_assert(anl_hdf5_write_text(image, "photometric", "MONOCHROME1"));
}

static void make_unscaled(hid_t file, hid_t image)
{
    (void)file;
    ck_assert(anl_hdf5_write_double(image, "rescale_slope", 1) && anl_hdf5_write_double(image, "rescale_intercept", -1024));
}

static void forget_range(hid_t file, hid_t image)
{
    (void)file;
    ck_assert(H5Adelete(image, "least") >= 0 && H5Adelete(image, "greatest") >= 0 && H5Adelete(image, "photometric") >= 0);
}

static void make_nonsense(hid_t file, hid_t image)
{
    (void)image;
    ck_assert(H5Ldelete(file, "spacing", H5P_DEFAULT) >= 0 && anl_hdf5_write_texts(file, "spacing", false, one_patient, 1));
}

/* ---- linting ---- */

/* The base recipe with images of these axes; field: more keys of theirs; rest: more sections. */
static void lint_axes(const char *axes, const char *field, const char *rest, const char *const *data, int count)
{
    const char *test_root = getenv("ANL_TEST_ROOT");
    const char *text = anl_arena_printf(arena,
                                        "anlage: 1\n"
                                        "import: [%s/frontend/rules/base.yaml%s]\n"
                                        "data:\n"
                                        "  train:\n"
                                        "    fields:\n"
                                        "      image: {axes: {channel: 1, %sy: %d, x: %d}%s}\n"
                                        "%s",
                                        test_root ? test_root : ".", strstr(rest, "random_") ? ", lib/augment.yaml" : "", axes, SIZE, SIZE, field, rest);
    anl_document document = {"spec.yaml", text, strlen(text)};
    anl_lint_options options = {.documents = &document, .document_count = 1, .data = data, .data_count = count};
    anl_diagnostics_free(&problems);
    problems = anl_diagnostics_new();
    anl_lint("spec.yaml", &options, problems);
}

static void lint(const char *field, const char *rest, const char *const *data, int count)
{
    lint_axes("", field, rest, data, count);
}

static void lint_volume(const char *rest, const char *shard) { lint_axes("z: 16, ", "", rest, &shard, 1); }

static const anl_diagnostic *found(anl_code code)
{
    for (int i = 0; i < anl_diagnostics_count(problems); i++)
        if (anl_diagnostics_get(problems, i)->code == code)
            return anl_diagnostics_get(problems, i);
    return NULL;
}

static char *report(void)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    anl_diagnostics_print(problems, out, false);
    fclose(out);
    char *kept = anl_arena_text(arena, text);
    free(text);
    return kept;
}

/* Exactly this code at this line of the spec (0: wherever), with these words in it. */
#define expect(code, at, words)                                                                                                  \
    do {                                                                                                                         \
        const anl_diagnostic *d = found(code);                                                                                   \
        ck_assert_msg(d &&anl_diagnostics_count(problems) == 1, "A%04d alone was expected:\n%s", code, report());                \
        ck_assert_msg(!(at) || d->span.line == (at), "line %d was expected:\n%s", at, report());                                 \
        ck_assert_msg(strstr(report(), words) != NULL, "`%s` was expected:\n%s", words, report());                               \
    } while (0)
#define expect_clean() ck_assert_msg(anl_diagnostics_count(problems) == 0, "nothing was expected:\n%s", report())

static const char views[] = "views:\n"
                            "  seen:\n"
                            "    - image\n"
                            "    - %s\n"
                            "graph: {pooled: \"mean(seen, over=[y, x])\"}\n";
enum { STEP = 10 }; /* the line of the step */

static void lint_step(const char *field, const char *step, const char *shard)
{
    lint(field, anl_arena_printf(arena, views, step), &shard, 1);
}

/* ---- patients ---- */

START_TEST(test_patients)
{
    make_shard("train-00000.h5", (recorded){.patients = (const char *const[]){"anna", "bert", "", "anna", NULL}});
    make_shard("train-00001.h5", (recorded){.patients = (const char *const[]){"carl", NULL}});
    make_shard("valid-00000.h5", (recorded){.split = "valid", .patients = (const char *const[]){"dora", "", NULL}});
    const char *all = in_root("*.h5");
    const char *sources = anl_arena_printf(arena, "  valid: {shards: %s/valid-*.h5}\n", root);
    lint("", sources, &all, 1);
    expect_clean();
    make_shard("valid-00001.h5",
               (recorded){.split = "valid", .patients = (const char *const[]){"emil", "carl", "bert", "bert", NULL}});
    lint("", sources, &all, 1);
    expect(ANL_A_patient_in_two_splits, 7, "2 patients are both in training and in validation");
    ck_assert_ptr_nonnull(strstr(report(), "patient `carl` is in "));
    ck_assert_ptr_nonnull(strstr(report(), "train-00001.h5 and in "));
    ck_assert_ptr_nonnull(strstr(report(), "patient `bert` is in "));
    /* the spec does not read the validation shards: they say themselves what they are */
    lint("", "", &all, 1);
    expect(ANL_A_patient_in_two_splits, 0, "2 patients are both");
    /* it does, but for training as well */
    lint("", anl_arena_printf(arena, "    shards: %s/train-0000*.h5\n  test: {shards: %s/train-00001.h5}\n", root, root),
         (const char *const[]){in_root("train-*.h5")}, 1);
    expect(ANL_A_patient_in_two_splits, 8, "train-00001.h5 is read for training and for test");
}
END_TEST

START_TEST(test_patients_of_packs)
{
    mkdir(in_root("a"), 0777);
    mkdir(in_root("b"), 0777);
    make_shard("a/train-00000.h5", (recorded){.patients = (const char *const[]){"17", "hospital-0042", NULL}});
    make_shard("b/valid-00000.h5", (recorded){.split = "valid", .patients = (const char *const[]){"17", "x", NULL}});
    const char *all = in_root("*/*.h5");
    lint("", "", &all, 1);
    expect_clean(); /* every pack has a patient 17 */
    make_shard("b/valid-00001.h5", (recorded){.split = "valid", .patients = (const char *const[]){"hospital-0042", NULL}});
    lint("", "", &all, 1);
    expect(ANL_A_patient_in_two_packs, 0, "patient `hospital-0042`");
    /* what it reads for validation is another shard than the one with the shared patient */
    lint("", anl_arena_printf(arena, "  valid: {shards: %s/b/valid-00000.h5}\n", root), &all, 1);
    expect_clean();
}
END_TEST

/* However few names are remembered at a time, the same patients are found. */
START_TEST(test_patients_bounded)
{
    enum { SHARDS = 6, EACH = 60 };
    anl_split_shard shards[SHARDS];
    for (int s = 0; s < SHARDS; s++) {
        const char *patients[EACH + 1] = {0};
        for (int i = 0; i < EACH; i++)
            patients[i] = anl_arena_printf(arena, "patient-%d", (s / 2 * 55 + i) + s % 2 * 1000);
        const char *name = anl_arena_printf(arena, "shard-%d.h5", s);
        shards[s] = (anl_split_shard){.path = make_shard(name, (recorded){.patients = patients}), .split = s / 2, .pack = 1};
    }
    char reason[ANL_REASON_SIZE];
    static const size_t limits[] = {1 << 20, 100, 7};
    for (size_t l = 0; l < ANL_COUNT(limits); l++) {
        anl_shared_patients *shared;
        int count;
        ck_assert_int_eq(anl_patients_shared(shards, SHARDS, limits[l], arena, &shared, &count, reason), ANL_OK);
        ck_assert_int_eq(count, 2); /* train and valid share 5 of each kind, valid and test too */
        for (int i = 0; i < count; i++) {
            ck_assert(shared[i].one_pack && shared[i].count == 10);
            ck_assert_int_eq(shared[i].split[0], i);
            ck_assert_int_eq(shared[i].split[1], i + 1);
        }
    }
    truncate(shards[3].path, 200);
    anl_shared_patients *shared;
    int count;
    ck_assert_int_ne(anl_patients_shared(shards, SHARDS, 7, arena, &shared, &count, reason), ANL_OK);
    ck_assert_ptr_nonnull(strstr(reason, "shard-3.h5"));
}
END_TEST

/* ---- values ---- */

START_TEST(test_window)
{
    const char *ct = make_shard("ct.h5", (recorded){.modality = "ct", .bits = 16});
    lint_step("", "clamp((_ + 160) / 400, 0, 1)", ct);
    expect(ANL_A_rescale_ignored, STEP, "the window from -160 to 240 is one of Hounsfield units");
    lint_step("", "clamp((_ - 0.4) / 0.2, 0, 1)", ct);
    expect_clean();
    lint_step("", "where(_ < -500, 0, _)", ct);
    expect(ANL_A_rescale_ignored, STEP, "the threshold -500 is one of Hounsfield units");
    const char *units = make_shard(
        "hu.h5", (recorded){.modality = "ct", .unit = "HU", .bits = 16, .scale = 1, .offset = -1024, .greatest = 4095});
    lint_step(", unit: HU", "clamp((_ + 160) / 400, 0, 1)", units);
    expect_clean();
    lint_step(", unit: HU", "where(_ < -500, 0, _)", units);
    expect_clean();
    lint_step(", unit: HU", "clamp((_ - 4000) / 400, 0, 1)", units);
    expect(ANL_A_window_outside, STEP, "holds none of the images' values, which lie between -1024 and 3071");
    const char *twelve = make_shard("twelve.h5", (recorded){.bits = 16, .greatest = 4095});
    lint_step("", "clamp((_ - 0.3) / 0.4, 0, 1)", twelve);
    expect(ANL_A_window_outside, STEP, "which lie between 0 and 0.0624857");
    change_shard(twelve, forget_range); /* as others may write them: looked up in a few images */
    lint_step("", "clamp((_ - 0.3) / 0.4, 0, 1)", twelve);
    expect(ANL_A_window_outside, STEP, "which lie between 0 and 0.0624857");
    lint_step("", "clamp((_ - 0.01) / 0.04, 0, 1)", twelve);
    expect_clean();
    const char *mr = make_shard("mr.h5", (recorded){.modality = "mr", .bits = 16, .relative = true});
    lint_step("", "clamp(_, 1.1, 1.4)", mr); /* each image has its own range, and a few values lie beyond */
    expect_clean();
    lint_step("", "clamp(_, 100, 900)", mr);
    expect(ANL_A_window_outside, STEP, "which lie between 0 and 1");
}
END_TEST

START_TEST(test_jitter)
{
    const char *units = make_shard("hu.h5", (recorded){.modality = "ct", .unit = "HU", .bits = 16, .scale = 1, .offset = -1024});
    lint_step(", unit: HU", "random_intensity: {gain: [0.8, 1.2]}", units);
    expect(ANL_A_jitter_before_window, STEP, "the window from 0 to 1");
    const char *unit = make_shard("unit.h5", (recorded){.modality = "ct", .bits = 8});
    lint_step("", "random_intensity: {gain: [0.8, 1.2]}", unit);
    expect_clean();
}
END_TEST

START_TEST(test_threshold)
{
    const char *twelve = make_shard("twelve.h5", (recorded){.bits = 16, .greatest = 4095});
    lint_step("", "where(_ > 0.5, 0, _)", twelve);
    expect(ANL_A_threshold_outside, STEP, "no image reaches the threshold 0.5");
    lint_step("", "where(_ > 0.05, 0, _)", twelve);
    expect_clean();
    const char *raw = make_shard("raw.h5", (recorded){.bits = 16, .scale = 1});
    lint_step("", "where(_ > 200, 0, _)", raw);
    expect(ANL_A_threshold_outside, STEP, "the threshold 200 is one of 8 bits");
    lint_step("", "where(_ > 20000, 0, _)", raw);
    expect_clean();
    const char *units = make_shard("hu.h5", (recorded){.unit = "HU", .bits = 16, .scale = 1, .offset = -1024});
    lint_step(", unit: HU", "where(_ > 200, 0, _)", units); /* bone */
    expect_clean();
}
END_TEST

START_TEST(test_inverted)
{
    const char *shard = make_shard("cxr.h5", (recorded){.modality = "radiograph"});
    lint_step("", "random_noise", shard);
    expect_clean();
    change_shard(shard, make_inverted);
    lint_step("", "random_noise", shard);
    expect(ANL_A_inverted_grey, 6, "cxr.h5 are MONOCHROME1");
    lint_step("", "1 - _", shard);
    expect_clean();
}
END_TEST

START_TEST(test_rescale)
{
    const char *shard = make_shard("ct.h5", (recorded){.modality = "ct", .bits = 16, .greatest = 4095});
    change_shard(shard, make_unscaled);
    lint_step("", "random_noise", shard);
    expect(ANL_A_rescale_ignored, 6, "begin with the step `_ * 65535 - 1024`");
    lint_step("", "_ * 65535 - 1024", shard);
    expect_clean();
}
END_TEST

START_TEST(test_modality)
{
    const char *shard = make_shard("cxr.h5", (recorded){.modality = "radiograph"});
    lint_step("", "random_flip", shard); /* not declared: the shards say it */
    expect(ANL_A_mirrored, STEP, "cxr.h5 says that the modality is radiograph");
    lint_step(", modality: mr", "random_noise", shard);
    expect(ANL_A_modality_mismatch, 6, "declared as mr, but the shards hold radiograph");
    make_shard("ct.h5", (recorded){.modality = "ct"});
    lint_step("", "random_flip", in_root("*.h5")); /* several: nothing is known */
    expect_clean();
}
END_TEST

START_TEST(test_spacing)
{
    static const double various[3][3] = {{0.4, 0.4, 0}, {0, 0, 0}, {1.2, 1.2, 0}}, oblong[1][3] = {{1.0, 0.5, 0}},
                        square[1][3] = {{0.7, 0.7, 5}};
    const char *three[] = {"a", "b", "c", NULL};
    const char *shard = make_shard("us.h5", (recorded){.modality = "ultrasound", .patients = three, .spacing = various});
    lint_step("", "random_rotation: {degrees: 20}", shard);
    expect_clean();
    lint_step("", "random_blur: {radius: 2}", shard);
    expect(ANL_A_blur_in_pixels, STEP, "pixels are 0.4 to 1.2 mm apart");
    shard = make_shard("oblong.h5", (recorded){.modality = "ultrasound", .spacing = oblong});
    lint_step("", "random_rotation: {degrees: 20}", shard);
    expect(ANL_A_rotation_anisotropic, STEP, "2 times as far apart along x as along y");
    lint_step("", "random_blur: {radius: 2}", shard);
    expect(ANL_A_blur_in_pixels, STEP, "as many pixels along y as along x");
    shard = make_shard("square.h5", (recorded){.modality = "ultrasound", .spacing = square});
    lint_step("", "random_rotation: {degrees: 20}", shard);
    expect_clean();
    lint_step("", "random_blur: {radius: 2}", shard);
    expect_clean();
    change_shard(shard, make_nonsense);
    lint_step("", "random_noise", shard);
    expect(ANL_A_shard_invalid, 0, "square.h5");
}
END_TEST

/* Turning a volume so that z mixes with y; in mm where ratio is that of the spacings. */
static const char tipping[] =
    "functions:\n"
    "  tip:\n"
    "    inputs: {image: [channel, z, y, x]}\n"
    "    params: {ratio: 1.0}\n"
    "    nodes:\n"
    "      angle: uniform(-0.3, 0.3)\n"
    "      grid: replicate(replicate(replicate(0.0, x=image.x), y=image.y), z=image.z)\n"
    "      w: grid + index(grid, z) - (image.z - 1) / 2\n"
    "      v: grid + index(grid, y) - (image.y - 1) / 2\n"
    "    returns: sample(image, z=outer(cos(angle)) * w - outer(sin(angle) / ratio) * v + (image.z - 1) / 2,"
    " y=outer(sin(angle) * ratio) * w + outer(cos(angle)) * v + (image.y - 1) / 2, x=grid + index(grid, x))\n"
    "views: {seen: [image, tip: {ratio: %s}]}\n"
    "graph: {pooled: \"mean(seen, over=[z, y, x])\"}\n";

START_TEST(test_volumes)
{
    static const double thick[1][3] = {{0.5, 0.5, 1.5}}, even[1][3] = {{1, 1, 1}};
    const char *shard = make_shard("thick.h5", (recorded){.modality = "mr", .depth = 16, .spacing = thick});
    lint_volume(anl_arena_printf(arena, tipping, "1.0"), shard);
    expect(ANL_A_rotation_anisotropic, 0, "3 times as far apart along z as along y");
    lint_volume(anl_arena_printf(arena, tipping, "3.0"), shard);
    expect_clean();
    shard = make_shard("even.h5", (recorded){.modality = "mr", .depth = 16, .spacing = even});
    lint_volume(anl_arena_printf(arena, tipping, "1.0"), shard); /* what is usual of MR does not hold here */
    expect_clean();
    shard = make_shard("unknown.h5", (recorded){.modality = "mr", .depth = 16});
    lint_volume(anl_arena_printf(arena, tipping, "1.0"), shard);
    expect(ANL_A_rotation_anisotropic, 0, "slices of mr are mostly farther apart");
}
END_TEST

/* What a data set would say when training opens it. */
START_TEST(test_fields)
{
    const char *shard = make_shard("train.h5", (recorded){0});
    lint("", "      lesion: {axes: {}, column: lesoin}\nlosses: {also: {value: \"mean(cast(lesion, float), over=all) * mean(scores, over=all)\"}}\n", &shard, 1);
    expect(ANL_A_field_mismatch, 7, "no column `lesoin` for the field `lesion`");
    lint("", "      colour: {axes: {channel: 3, y: 16, x: 16}}\nlosses: {also: {value: \"mean(cast(colour, float), over=all) * mean(scores, over=all)\"}}\n", &shard, 1);
    expect(ANL_A_field_mismatch, 0, "its images have 1 channel, but `colour` declares 3");
    lint("", "      volume: {axes: {channel: 1, z: 4, y: 16, x: 16}}\nlosses: {also: {value: \"mean(cast(volume, float), over=all) * mean(scores, over=all)\"}}\n", &shard, 1);
    ck_assert_msg(found(ANL_A_field_mismatch) != NULL, "%s", report());
    lint(", unit: HU", "", &shard, 1);
    expect(ANL_A_field_mismatch, 0, "its values have no unit, but `image` is declared in HU");
    const char *nothing = in_root("nothing-*.h5");
    lint("", "", &nothing, 1);
    expect(ANL_A_shard_missing, 0, "no shard matches");
    const char *text = in_root("text.h5");
    FILE *file = fopen(text, "w");
    fputs("this is no shard", file);
    fclose(file);
    lint("", "", &text, 1);
    expect(ANL_A_shard_invalid, 0, "text.h5");
}
END_TEST

/* ---- what pack writes ---- */

static void write_tiff(const char *path, bool white_is_zero)
{
    TIFF *tiff = TIFFOpen(path, "w");
    uint16_t row[4] = {10, 20, 30, 4000};
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, 4);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, 4);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 16);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, white_is_zero ? PHOTOMETRIC_MINISWHITE : PHOTOMETRIC_MINISBLACK);
    for (uint32_t y = 0; y < 4; y++)
        ck_assert_int_eq(TIFFWriteScanline(tiff, row, y, 0), 1);
    TIFFClose(tiff);
}

static anl_status pack(const char *image, const char *modality, int deflate, anl_shard_facts *facts)
{
    const char *out = in_root("out");
    anl_pack_options options = {.inputs = &image,
                                .input_count = 1,
                                .out = out,
                                .size = {4, 4},
                                .channels = 1,
                                .modality = modality,
                                .deflate = deflate,
                                .threads = 1,
                                .overwrite = true};
    anl_pack_report done;
    anl_status status = anl_pack(&options, &done, problems);
    if (status != ANL_OK)
        return status;
    anl_shard shard;
    char reason[ANL_REASON_SIZE];
    anl_hdf5_lock();
    ck_assert_int_eq(anl_shard_open(anl_arena_printf(arena, "%s/train-00000.h5", out), &shard, reason), ANL_OK);
    ck_assert_int_eq(anl_shard_read_facts(&shard, arena, facts, reason), ANL_OK);
    anl_shard_close(&shard);
    anl_hdf5_unlock();
    return ANL_OK;
}

START_TEST(test_packed_facts)
{
    anl_shard_facts facts;
    const char *image = in_root("image.tif");
    write_tiff(image, false);
    ck_assert_int_eq(pack(image, "MRI", 0, &facts), ANL_OK);
    ck_assert_str_eq(facts.modality, "mr");
    ck_assert_str_eq(facts.split, "train");
    ck_assert_str_eq(facts.photometric, "MONOCHROME2");
    ck_assert_double_eq_tol(facts.low * 65535, 10, 1e-9);
    ck_assert_double_eq_tol(facts.high * 65535, 4000, 1e-9);
    ck_assert(!facts.rescale_known && facts.greatest_spacing[1] == 0);
    write_tiff(image, true); /* inverted when it is read */
    ck_assert_int_eq(pack(image, NULL, 6, &facts), ANL_OK);
    ck_assert_ptr_null(facts.modality);
    ck_assert_str_eq(facts.photometric, "MONOCHROME2");
    ck_assert_double_eq_tol(facts.low * 65535, 65535 - 4000, 1e-9);
    ck_assert_int_eq(pack(image, "radiografph", 0, &facts), ANL_ERROR_ARGUMENT);
    ck_assert_ptr_nonnull(found(ANL_A_unknown_modality));
    ck_assert_str_eq(found(ANL_A_unknown_modality)->suggestion, "did you mean `radiograph`?");
}
END_TEST

/* ---- the table ---- */

START_TEST(test_modalities)
{
    for (int i = 0; anl_modality_at(i); i++) {
        const anl_modality *m = anl_modality_at(i);
        ck_assert_ptr_eq(anl_modality_find(m->name), m);
        ck_assert_str_eq(anl_modality_names[i], m->name);
        ck_assert(m->doc[0]);
        char *words = anl_arena_text(arena, m->also);
        for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) /* no word means two modalities */
            ck_assert_ptr_eq(anl_modality_meant(word), m);
    }
    ck_assert_ptr_null(anl_modality_find("CR"));
    ck_assert_str_eq(anl_modality_meant("dx")->name, "radiograph");
    ck_assert_str_eq(anl_modality_nearest("ultrasuond")->name, "ultrasound");
    ck_assert_ptr_null(anl_modality_meant(""));
    ck_assert_ptr_null(anl_modality_nearest("quux"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lint_data");
    TCase *all = tcase_create("lint_data");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_set_timeout(all, 120);
    tcase_add_test(all, test_patients);
    tcase_add_test(all, test_patients_of_packs);
    tcase_add_test(all, test_patients_bounded);
    tcase_add_test(all, test_window);
    tcase_add_test(all, test_jitter);
    tcase_add_test(all, test_threshold);
    tcase_add_test(all, test_inverted);
    tcase_add_test(all, test_rescale);
    tcase_add_test(all, test_modality);
    tcase_add_test(all, test_spacing);
    tcase_add_test(all, test_volumes);
    tcase_add_test(all, test_fields);
    tcase_add_test(all, test_packed_facts);
    tcase_add_test(all, test_modalities);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
