/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that jansson lacks. None of them has state. Thread: any. */
#ifndef EBB_LIB_JSON_H
#define EBB_LIB_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Returns a new integer, or NULL: out of memory. A value above jansson's 2^63 - 1 becomes that. */
static inline json_t *json_count(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/*
 * Returns a new string of bytes that come from a user or a file system; NULL: out of memory. JSON
 * holds only UTF-8: other text is escaped as by text_escape(), so that one name does not make a
 * whole answer fail.
 */
json_t *json_text(const char *bytes);

#define JSON_READ_DEPTH 64 /* objects and arrays nested in each other */

/*
 * Reads @text, @len bytes that hold one value of any type. Returns 0 with a new reference in
 * *@value; -EINVAL with a message in @error, of @size bytes; or -ENOMEM. Refuses repeated keys,
 * integers beyond 64 bits, numbers that a double cannot hold, U+0000 in strings, and text that is
 * not UTF-8.
 *
 * Replaces json_loadb(): jansson 2.14 does not notice if its lexer's buffer cannot grow, and then
 * reads and writes beyond it (lex_save() in load.c). This function checks each allocation, and
 * returns -ENOMEM if one fails. Source: RFC 8259.
 */
int json_read(json_t **value, const char *text, size_t len, char *error, size_t size);

#endif
