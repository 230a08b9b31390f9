/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes text from elsewhere (another ebb, a file's name) safe to print on a terminal; formats
 * sizes.
 *
 * Pure. Thread: any.
 */
#ifndef EBB_LIB_TEXT_H
#define EBB_LIB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_MAX 512 /* bytes with the terminator: longer than a line need be */

/*
 * Copies @text, with \xNN in place of each byte that controls a terminal (C0 and C1 controls, DEL,
 * marks that change the direction of writing) or is not UTF-8. With @lines, keeps newlines and
 * tabs. Cuts off what exceeds @size, never within a character. Returns @out.
 */
char *text_escape(char *out, size_t size, const char *text, bool lines);

/* Returns whether @text is UTF-8: RFC 3629, so without surrogates or codes beyond U+10FFFF. */
bool text_is_utf8(const char *text);

/* Writes "558.1 MiB", or "4.0 KiB" below 1 MiB. @out has TEXT_SIZE_MAX bytes. Returns @out. */
#define TEXT_SIZE_MAX 32
char *text_size(char *out, uint64_t bytes);

/* Returns the columns that @text takes on a terminal, approximately: its characters. */
size_t text_width(const char *text);

#endif
