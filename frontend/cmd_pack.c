/* anlage pack: makes data sets of images and labels.
 * In: folders, files, labels.csv. Out: HDF5 shards and manifest.json; a bar on a terminal, plain lines in a log, a table at the
 * end. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <anlage/dataset.h>

#include "command.h"

static const char usage[] =
    "usage: anlage pack DIR-or-FILE... --size N --out DIR [--labels labels.csv]\n"
    "       anlage pack FILE.h5:/NAME --size N --out DIR [--labels-from FILE.h5:/NAME]...\n"
    "\n"
    "Reads image files and writes train-*.h5, valid-*.h5, test-*.h5 and manifest.json.\n"
    "With a table of labels, its rows are the set (first column: the file, or a folder of files, relative to the table or a DIR);\n"
    "without, every image under the folders is. A column `patient` keeps a patient's images in one split.\n"
    "\n"
    "  --out DIR           folder for the shards\n"
    "  --size N            samples of N x N pixels; or YxX; volumes: N x N x N, or ZxYxX. The shape of a scan is kept (in mm,\n"
    "                      where it says its spacing); around it is black\n"
    "  --slices            each slice or page of a volume is a sample\n"
    "  --volumes           only volumes are packed, each a sample (default where all files are volumes, or slices of DICOM series)\n"
    "  --first-frame       of several time points in a file take the first; otherwise each is a sample\n"
    "  --window C,W        values from C - W/2 to C + W/2 become 0 to 1 (HU: 40,80 shows brain); otherwise HU stay HU\n"
    "  --spacing S|Z,Y,X   bring scans to this spacing in mm, then crop or pad them to --size about their middle (default: each scan fills it)\n"
    "  --crop body         first crop to the body: the largest region above -500 HU, or above Otsu's threshold\n"
    "  --margin N|Nmm      … and leave so many pixels, or mm, around it (default 0)\n"
    "  --compress HOW      compress the samples: blosc (loads fast) or deflate (becomes smaller), or with a level of 1 to 9, e.g. blosc:9 (default: none)\n"
    "  --deflate LEVEL     the same as --compress deflate:LEVEL\n"
    "  --labels FILE       table in CSV with a header; numbers, words, empty where unknown\n"
    "  --labels-from ARRAY a column of labels: FILE.h5:/NAME, as many numbers or strings as there are images in the one array that is packed; repeatable\n"
    "  --boxes FILE        table of boxes in images: file, x0, y0, x1, y1 (volumes: z0, z1, too) or x, y, width, height, and what is said of each\n"
    "  --axes LETTERS      the axes of arrays in their order: n (images), z, y, x, c (default by their number: yx, nyx, nyxc or nzyx, nzyxc)\n"
    "  --channels 1|3      1: grey (default), 3: colour\n"
    "  --split A,B,C       shares of training, validation, test (default 0.7,0.15,0.15)\n"
    "  --patient COLUMN    the column that says whose image it is (default: patient; where there is none, the ids in DICOM files)\n"
    "  --stratify COLUMN   spread the values of this column evenly over the splits\n"
    "  --modality NAME     ct, mr, radiograph, ultrasound, ...: kept in the shards\n"
    "  --seed N            another split (default 0)\n"
    "  --shard-samples N   samples per shard (default 1024)\n"
    "  --threads N         threads that decode (default: all cores)\n"
    "  --duplicates drop   of images with the same pixels pack one, in training before validation before test (default keep: all, reported)\n"
    "  --keep-ids          store ids of patients as they are (default: as hashes with a random salt that is kept nowhere)\n"
    "  --salt FILE         hash with this salt (16 bytes or more, kept secret): packs with the same salt agree on who is who\n"
    "  --anonymous-files   store files by number and not by name\n"
    "  --force             replace the pack in DIR, or one that was begun there with other input\n"
    "\n"
    "A series of DICOM files of one slice each (one series, orientation, size and spacing) is a volume, its slices in the order of their places in the\n"
    "patient. A row of the table may name its folder, or with --volumes one file of it. Where the steps between slices differ by more than a tenth, as where one\n"
    "is missing, or two slices lie at one place, the series is skipped. With --slices, or a --size without z (YxX), each file is a sample.\n"
    "\n"
    "Boxes are in pixels of the file as it lies there: from x0 up to, not with, x1, counted from 0; z counts slices, of a series along its normal; a column\n"
    "`frame`, of files with several, counts these. They go where their image goes: turned, cropped, resampled and cut off with it. Any other column, as\n"
    "`class`, says something of the box.\n"
    "\n"
    "FILE.h5:/NAME is an array of an HDF5 file, each place along its axis n an image or volume; 1 or 3 along the last of four axes are channels. Attributes of\n"
    "the array are kept: spacing (mm along z, y, x or y, x), unit, modality; values are stored * scale + offset where it has these.\n"
    "\n"
    "Of DICOM files and others, shards keep voxels, spacing, modality and a hash of the patient's id, nothing else; names of files and the columns of the\n"
    "table are stored as they are, so see that they name nobody.\n"
    "Unreadable images are reported, skipped and counted, never replaced. A pack that was stopped (Ctrl-C), killed or out of space goes on\n"
    "after its last finished shard when the same command is given again; until it is complete, its shards are in DIR/.anlage-pack.\n";

typedef struct display {
    bool terminal, bar_shown;
    int64_t first; /* images that were done when it began, as they were before; -1: not known yet */
    double began, last;
} display;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void show(void *context, int64_t done, int64_t total)
{
    display *d = context;
    double now = seconds(), spent = now - d->began, every = d->terminal ? 0.1 : 10;
    bool finished = done == total;
    if (d->first < 0)
        d->first = done;
    if (now - d->last < every && !finished)
        return;
    d->last = now;
    double rate = spent > 0 ? (double)(done - d->first) / spent : 0;
    long long left = rate > 0 ? (long long)((double)(total - done) / rate + 0.5) : 0;
    char text[160];
    int length = snprintf(text, sizeof text, " %lld/%lld images  %.0f images/s  %lld:%02lld left", (long long)done,
                          (long long)total, rate, left / 60, left % 60);
    if (!d->terminal) {
        fprintf(stderr, "packing%s\n", text);
        return;
    }
    struct winsize size = {0};
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    int width = columns - length - 3 > 30 ? 30 : columns - length - 3;
    fputs("\r\033[K", stderr);
    if (width >= 5) {
        int filled = (int)(width * done / total);
        fputc('[', stderr);
        for (int i = 0; i < width; i++)
            fputc(i < filled ? '#' : '.', stderr);
        fputc(']', stderr);
    }
    fprintf(stderr, "%.*s", columns - 1, text);
    d->bar_shown = true;
    fflush(stderr);
}

/* "0.7,0.15,0.15"; the three must make 1. */
static bool parse_split(const char *text, double *valid, double *test)
{
    double train;
    int used = 0;
    if (sscanf(text, "%lf,%lf,%lf%n", &train, valid, test, &used) != 3 || text[used])
        return false;
    double sum = train + *valid + *test;
    return train >= 0 && *valid >= 0 && *test >= 0 && sum > 0.999999 && sum < 1.000001;
}

/* "96", "128x96" (y, x), "32x128x96" (z, y, x) */
static bool parse_size(const char *text, int size[3])
{
    int first, second, third, used = 0;
    if (sscanf(text, "%dx%dx%d%n", &first, &second, &third, &used) == 3 && !text[used]) {
        size[2] = first;
        size[1] = second;
        size[0] = third;
    } else if (sscanf(text, "%dx%d%n", &first, &second, &used) == 2 && !text[used]) {
        size[2] = 0;
        size[1] = first;
        size[0] = second;
    } else if (sscanf(text, "%d%n", &first, &used) == 1 && !text[used])
        size[0] = size[1] = size[2] = first;
    else
        return false;
    for (int a = 0; a < 3; a++)
        if (size[a] > 4096 || size[a] < (a < 2))
            return false;
    return true;
}

/* "1.5" for all axes, "5,0.7,0.7" (z, y, x) */
static bool parse_spacing(const char *text, double spacing[3])
{
    int used = 0;
    if (sscanf(text, "%lf,%lf,%lf%n", &spacing[2], &spacing[1], &spacing[0], &used) != 3 || text[used]) {
        used = 0;
        if (sscanf(text, "%lf%n", &spacing[0], &used) != 1 || text[used])
            return false;
        spacing[1] = spacing[2] = spacing[0];
    }
    for (int a = 0; a < 3; a++)
        if (!(spacing[a] > 1e-6 && spacing[a] < 1e6))
            return false;
    return true;
}

/* "8" pixels, "5mm" */
static bool parse_margin(const char *text, double *margin, bool *mm)
{
    int used = 0;
    if (sscanf(text, "%lf%n", margin, &used) != 1 || !(*margin >= 0 && *margin < 1e6))
        return false;
    *mm = !strcmp(text + used, "mm");
    return *mm || !text[used];
}

/* "none", "blosc", "deflate:9": the level of the one, 0 of the other */
static bool parse_compression(const char *text, int *deflate, int *blosc)
{
    const size_t length = strcspn(text, ":");
    long long level = 5; /* of deflate as of Blosc: beyond it, little is gained for the time */
    if (text[length] && (!parse_integer(text + length + 1, 1, &level) || level > 9))
        return false;
    *deflate = *blosc = 0;
    if (length == 5 && !strncmp(text, "blosc", length))
        *blosc = (int)level;
    else if (length == 7 && !strncmp(text, "deflate", length))
        *deflate = (int)level;
    else
        return !strcmp(text, "none");
    return true;
}

int anl_cmd_pack(int argc, char **argv)
{
    static const struct option options[] = {{"labels", required_argument, 0, 'l'},
                                            {"labels-from", required_argument, 0, 'L'},
                                            {"boxes", required_argument, 0, 'B'},
                                            {"axes", required_argument, 0, 'x'},
                                            {"size", required_argument, 0, 's'},
                                            {"slices", no_argument, 0, 'i'},
                                            {"volumes", no_argument, 0, 'v'},
                                            {"first-frame", no_argument, 0, 'r'},
                                            {"window", required_argument, 0, 'w'},
                                            {"deflate", required_argument, 0, 'd'},
                                            {"compress", required_argument, 0, 'C'},
                                            {"out", required_argument, 0, 'o'},
                                            {"channels", required_argument, 0, 'c'},
                                            {"split", required_argument, 0, 'p'},
                                            {"seed", required_argument, 0, 'e'},
                                            {"shard-samples", required_argument, 0, 'n'},
                                            {"patient", required_argument, 0, 'a'},
                                            {"stratify", required_argument, 0, 'y'},
                                            {"modality", required_argument, 0, 'm'},
                                            {"threads", required_argument, 0, 't'},
                                            {"spacing", required_argument, 0, 'g'},
                                            {"crop", required_argument, 0, 'b'},
                                            {"margin", required_argument, 0, 'M'},
                                            {"duplicates", required_argument, 0, 'D'},
                                            {"keep-ids", no_argument, 0, 'k'},
                                            {"salt", required_argument, 0, 'S'},
                                            {"anonymous-files", no_argument, 0, 'A'},
                                            {"force", no_argument, 0, 'f'},
                                            {"help", no_argument, 0, 'h'},
                                            {0}};
    enum { MOST_COLUMNS = 200 };
    const char *columns[MOST_COLUMNS];
    anl_pack_options o = {.channels = 1, .fraction_valid = 0.15, .fraction_test = 0.15, .labels_from = columns};
    long long number;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'l':
            o.labels = optarg;
            break;
        case 'L':
            if (o.labels_from_count == MOST_COLUMNS)
                return usage_error("pack", usage, "--labels-from can be given %d times", MOST_COLUMNS);
            columns[o.labels_from_count++] = optarg;
            break;
        case 'B':
            o.boxes = optarg;
            break;
        case 'x':
            o.axes = optarg;
            break;
        case 's':
            if (!parse_size(optarg, o.size))
                return usage_error("pack", usage, "--size takes N, YxX or ZxYxX of 1 to 4096 pixels, not `%s`", optarg);
            break;
        case 'i':
            o.form = ANL_PACK_SLICES;
            break;
        case 'v':
            o.form = ANL_PACK_VOLUMES;
            break;
        case 'r':
            o.first_frame = true;
            break;
        case 'd':
            if (!parse_integer(optarg, 0, &number) || number > 9)
                return usage_error("pack", usage, "--deflate takes a level from 0 to 9, not `%s`", optarg);
            o.deflate = (int)number;
            o.blosc = 0;
            break;
        case 'C':
            if (!parse_compression(optarg, &o.deflate, &o.blosc))
                return usage_error("pack", usage, "--compress takes none, blosc or deflate, with or without a level of 1 to 9 (blosc:9), not `%s`", optarg);
            break;
        case 'w':
            if (!parse_window(optarg, o.window))
                return usage_error("pack", usage, "--window takes a centre and a width, e.g. 40,80, not `%s`", optarg);
            break;
        case 'o':
            o.out = optarg;
            break;
        case 'c':
            if (!parse_integer(optarg, 1, &number) || (number != 1 && number != 3))
                return usage_error("pack", usage, "--channels takes 1 or 3, not `%s`", optarg);
            o.channels = (int)number;
            break;
        case 'p':
            if (!parse_split(optarg, &o.fraction_valid, &o.fraction_test))
                return usage_error("pack", usage, "--split takes three shares that make 1, e.g. 0.7,0.15,0.15, not `%s`", optarg);
            break;
        case 'e':
            if (!parse_integer(optarg, 0, &number))
                return usage_error("pack", usage, "--seed takes a whole number, not `%s`", optarg);
            o.seed = (uint64_t)number;
            break;
        case 'n':
            if (!parse_integer(optarg, 1, &number) || number > 1000000)
                return usage_error("pack", usage, "--shard-samples takes 1 to 1000000 samples, not `%s`", optarg);
            o.shard_samples = (int)number;
            break;
        case 'a':
            o.patient = optarg;
            break;
        case 'y':
            o.stratify = optarg;
            break;
        case 'm':
            o.modality = optarg;
            break;
        case 't':
            if (!parse_integer(optarg, 1, &number) || number > 4096)
                return usage_error("pack", usage, "--threads takes a number of threads, not `%s`", optarg);
            o.threads = (int)number;
            break;
        case 'g':
            if (!parse_spacing(optarg, o.spacing))
                return usage_error("pack", usage, "--spacing takes mm, as 1.5 or as Z,Y,X, not `%s`", optarg);
            break;
        case 'b':
            if (strcmp(optarg, "body") != 0)
                return usage_error("pack", usage, "--crop takes `body`, not `%s`", optarg);
            o.crop_body = true;
            break;
        case 'M':
            if (!parse_margin(optarg, &o.margin, &o.margin_mm))
                return usage_error("pack", usage, "--margin takes pixels, as 8, or mm, as 5mm, not `%s`", optarg);
            break;
        case 'D':
            if (strcmp(optarg, "keep") != 0 && strcmp(optarg, "drop") != 0)
                return usage_error("pack", usage, "--duplicates takes `keep` or `drop`, not `%s`", optarg);
            o.drop_duplicates = !strcmp(optarg, "drop");
            break;
        case 'k':
            o.keep_ids = true;
            break;
        case 'S':
            o.salt = optarg;
            break;
        case 'A':
            o.anonymous_files = true;
            break;
        case 'f':
            o.overwrite = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_GOOD;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind == argc && !o.labels)
        return usage_error("pack", usage, "give folders or files with images, or a table with --labels");
    if (o.size[0] == 0)
        return usage_error("pack", usage, "give the size of the images with --size");
    if (!o.out)
        return usage_error("pack", usage, "give the folder for the shards with --out");
    if (o.margin > 0 && !o.crop_body)
        return usage_error("pack", usage, "--margin is what is left around the body; say --crop body, too");
    if (o.keep_ids && o.salt)
        return usage_error("pack", usage, "--salt is for hashes of ids, and --keep-ids stores them as they are");
    display d = {.terminal = isatty(STDERR_FILENO), .began = seconds()};
    d.last = d.began;
    d.first = -1;
    o.inputs = (const char *const *)argv + optind;
    o.input_count = argc - optind;
    o.progress = show;
    o.stop = stop_requested;
    o.context = &d;
    catch_signals();
    anl_pack_report report;
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_status status = anl_pack(&o, &report, diagnostics);
    if (d.bar_shown)
        fputc('\n', stderr);
    if (status == ANL_ERROR_STOPPED)
        fprintf(stderr, "stopped; the same command goes on after the last finished shard\n");
    int code = finish(&diagnostics, status);
    if (status == ANL_OK) {
        char depth[16] = "";
        if (report.volume)
            snprintf(depth, sizeof depth, "%d x ", o.size[2]);
        printf("packed     %lld sample%s of %lld file%s, %s%d x %d, %d bits%s%s, in %.1f s\n", (long long)report.packed,
               report.packed == 1 ? "" : "s", (long long)(report.images - report.skipped - report.dropped),
               report.images - report.skipped - report.dropped == 1 ? "" : "s", depth, o.size[1], o.size[0], report.bits, report.unit[0] ? " in " : "",
               report.unit, seconds() - d.began);
        printf("skipped    %lld\n", (long long)report.skipped);
        if (report.series > 0)
            printf("series     %lld, of %lld files\n", (long long)report.series, (long long)report.series_files);
        if (o.boxes)
            printf("boxes      %lld, at most %lld in a sample\n", (long long)report.boxes, (long long)report.most_boxes);
        if (report.repeated > 0)
            printf("repeated   %lld file%s the pixels of another; %s (manifest.json lists them)\n", (long long)report.repeated,
                   report.repeated == 1 ? " has" : "s have", report.dropped > 0 ? "dropped" : "kept");
        if (report.patients > 0)
            printf("patients   %lld, none in two splits; ids %s\n", (long long)report.patients, o.keep_ids ? "as they are" : "as hashes");
        else
            printf("patients   unknown, split by image\n");
        printf("train      %lld\n", (long long)report.train);
        printf("valid      %lld\n", (long long)report.valid);
        printf("test       %lld\n", (long long)report.test);
        printf("shards     %d in %s", report.shards, o.out);
        if (report.resumed > 0)
            printf(", %d of them finished before", report.resumed);
        printf("\n");
    }
    return code;
}
