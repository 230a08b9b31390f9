/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came from elsewhere (a guest's ebb, a file's name), made fit to be shown on a terminal; and
 * sizes for people.
 *
 * Pure. Thread: any.
 */
#ifndef EBB_LIB_TEXT_H
#define EBB_LIB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_MAX 512 /* bytes with the terminator: longer than what is worth a line */

/*
 * Copies @text, with \xNN in the place of each byte that would steer a terminal (C0 and C1 controls, DEL, marks
 * that change the direction of writing) or that is no UTF-8. With @lines, newlines and tabs are
 * kept. What does not fit is cut off, never within a character. Returns @out.
 */
char *text_escape(char *out, size_t size, const char *text, bool lines);

/* Whether all of @text is UTF-8: RFC 3629, so without surrogates or codes beyond U+10FFFF. */
bool text_is_utf8(const char *text);

/* "558.1 MiB", or "4.0 KiB" for what is less than one. @out has TEXT_SIZE_MAX bytes; returned. */
#define TEXT_SIZE_MAX 32
char *text_size(char *out, uint64_t bytes);

/* Columns on a terminal, near enough: characters. */
size_t text_width(const char *text);

#endif
