/* anlage inspect: shows what shards and scans hold.
 * In: shards, folders with shards, image files of any kind. Out: samples, sizes, values, labels, patients and provenance as text. */
#include <getopt.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <anlage/dataset.h>

#include "command.h"

static const char usage[] =
    "usage: anlage inspect [--verify] SHARD-or-DIR-or-FILE...\n"
    "\n"
    "Of a folder that `anlage pack` wrote: options, counts per split and label, histograms of the values, spacing, shards with their sums,\n"
    "identical images, and what was skipped. Histograms have 64 bins: from 0 to 1 (black to white, or a sample's own range), from -1024 to 3072 HU, and\n"
    "octaves from 2^-32 to 2^32 in other units; the rows of blocks go by square roots. Of its shards: samples, image size and values, labels, patients and provenance;\n"
    "of image files (those that `anlage pack` reads): size, values as stored and what they stand for, place in the\n"
    "patient, and a SHA-256 of the voxels (little-endian, [frame][z][y][x][channel]).\n"
    "\n"
    "  --verify            only check that the shards of folders have the SHA-256 that was written down when they were packed\n";

/* A shard is a whole HDF5 file; FILE.h5:/path is an array in one. */
static bool is_hdf5(const char *path)
{
    static const char mark[8] = "\x89HDF\r\n\x1a\n";
    char first[8] = {0};
    FILE *file = fopen(path, "rb");
    const bool good = file && fread(first, 1, sizeof first, file) == sizeof first && !memcmp(first, mark, sizeof mark);
    if (file)
        fclose(file);
    return good;
}

static bool has_manifest(const char *folder)
{
    struct stat about;
    char path[4096];
    return snprintf(path, sizeof path, "%s/manifest.json", folder) < (int)sizeof path && stat(path, &about) == 0;
}

int anl_cmd_inspect(int argc, char **argv)
{
    static const struct option options[] = {{"verify", no_argument, 0, 'v'}, {"help", no_argument, 0, 'h'}, {0}};
    bool verify = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'v') {
            verify = true;
            continue;
        }
        if (c == 'h') {
            fputs(usage, stdout);
            return EXIT_GOOD;
        }
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (optind == argc)
        return usage_error("inspect", usage, "give shards, folders that hold some, or image files");
    anl_diagnostics *diagnostics = anl_diagnostics_new();
    anl_status status = ANL_OK;
    for (int i = optind; i < argc; i++) {
        struct stat about;
        glob_t found = {0};
        char pattern[4096];
        bool folder = stat(argv[i], &about) == 0 && S_ISDIR(about.st_mode);
        if (verify || (folder && has_manifest(argv[i]))) {
            anl_status one = (verify ? anl_pack_verify : anl_pack_inspect)(argv[i], stdout, diagnostics);
            status = one != ANL_OK ? one : status;
        } else if (folder && snprintf(pattern, sizeof pattern, "%s/*.h5", argv[i]) < (int)sizeof pattern &&
            glob(pattern, 0, NULL, &found) == 0) {
            for (size_t f = 0; f < found.gl_pathc; f++) {
                anl_status one = anl_shard_inspect(found.gl_pathv[f], stdout, diagnostics);
                status = one != ANL_OK ? one : status;
            }
        } else {
            /* A folder without shards says so in the words of a file that is none. */
            anl_status one = folder || is_hdf5(argv[i]) ? anl_shard_inspect(argv[i], stdout, diagnostics)
                                                        : anl_scan_inspect(argv[i], stdout, diagnostics);
            status = one != ANL_OK ? one : status;
        }
        globfree(&found);
    }
    return finish(&diagnostics, status);
}
