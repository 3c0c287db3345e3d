/* Texts of files: what changes in them, and writing them back.
 * In: a text before and after. Out: a unified diff; the file.
 * Nothing here knows what the texts mean. */
#ifndef ANLAGE_TEXT_H
#define ANLAGE_TEXT_H

#include <anlage/status.h>
#include <stddef.h>
#include <stdio.h>

/* A unified diff with three lines of context, as diff -u and patch have it; nothing where the texts are equal. */
void anl_diff_print(const char *name, const char *before, size_t before_length, const char *after, size_t after_length, FILE *out);

/* Replaces a file's text whole or not at all; its permissions stay, a link stays a link. ANL_ERROR_FILE: errno says why, and the file
 * is as it was. */
anl_status anl_text_write(const char *path, const char *text, size_t length);

#endif
