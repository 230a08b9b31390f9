/* SPDX-License-Identifier: Apache-2.0 */
/* What jansson lacks. Nothing here has state of its own. Thread: any. */
#ifndef EBB_LIB_JSON_H
#define EBB_LIB_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* A new integer, or NULL. JSON's integers end at 2^63 here; a figure beyond that is shown as the largest. */
static inline json_t *json_count(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/*
 * A new string of bytes that come from a user or a file system; NULL: no memory. JSON holds UTF-8 only: other text is
 * escaped as text_escape() does it, so that one odd name never spoils a whole answer.
 */
json_t *json_text(const char *bytes);

#define JSON_READ_DEPTH 64 /* objects and arrays in each other */

/*
 * Reads @text, @len bytes that hold one value of any type. Returns 0 with a new reference in *@value;
 * -EINVAL with what is wrong in @error, of @size bytes; or -ENOMEM. Refuses keys that are repeated, integers
 * beyond 64 bits, numbers that no double holds, U+0000 in strings, and what is no UTF-8.
 *
 * In place of json_loadb(): jansson 2.14 does not see that its lexer's buffer could not grow, and
 * then reads and writes behind it (lex_save() in load.c). Here each allocation is checked, and one that
 * fails ends the whole reading. Source: RFC 8259.
 */
int json_read(json_t **value, const char *text, size_t len, char *error, size_t size);

#endif
