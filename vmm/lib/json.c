// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/json.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/text.h"

json_t *json_text(const char *bytes)
{
	if (text_is_utf8(bytes))
		return json_string(bytes);
	size_t size = 4 * strlen(bytes) + 1;
	char *escaped = malloc(size);
	json_t *value = escaped ? json_string(text_escape(escaped, size, bytes, false)) : NULL;
	free(escaped);
	return value;
}

/* --- reading --------------------------------------------------------------------------------- */

struct reader {
	const char *at;
	const char *end;
	unsigned int depth;
	char *error;
	size_t size;
};

static int fail(struct reader *reader, const char *why)
{
	snprintf(reader->error, reader->size, "%s", why);
	return -EINVAL;
}

static int unexpected(struct reader *reader)
{
	unsigned char byte = reader->at < reader->end ? *reader->at : 0;
	if (reader->at == reader->end)
		return fail(reader, "unexpected end");
	snprintf(reader->error, reader->size,
		 isprint(byte) ? "unexpected '%c'" : "unexpected byte 0x%02x", byte);
	return -EINVAL;
}

static void skip_space(struct reader *reader)
{
	while (reader->at < reader->end && *reader->at && strchr(" \t\r\n", *reader->at))
		reader->at++;
}

static bool next_is(const struct reader *reader, char byte)
{
	return reader->at < reader->end && *reader->at == byte;
}

static bool take(struct reader *reader, char byte)
{
	if (!next_is(reader, byte))
		return false;
	reader->at++;
	return true;
}

static bool take_digits(struct reader *reader)
{
	const char *begin = reader->at;
	while (reader->at < reader->end && isdigit((unsigned char)*reader->at))
		reader->at++;
	return reader->at > begin;
}

static int read_number(struct reader *reader, json_t **value)
{
	const char *begin = reader->at;
	bool real = false;
	take(reader, '-');
	if (!take(reader, '0') && !take_digits(reader))
		return unexpected(reader);
	if (take(reader, '.')) {
		real = true;
		if (!take_digits(reader))
			return unexpected(reader);
	}
	if (take(reader, 'e') || take(reader, 'E')) {
		real = true;
		if (!take(reader, '+'))
			take(reader, '-');
		if (!take_digits(reader))
			return unexpected(reader);
	}
	char *text = strndup(begin, reader->at - begin);
	if (!text)
		return -ENOMEM;
	errno = 0;
	double number = real ? strtod(text, NULL) : 0;
	long long integer = real ? 0 : strtoll(text, NULL, 10);
	int err = real ? 0 : -errno;
	free(text);
	if (err || !isfinite(number))
		return fail(reader, "a number is too large");
	*value = real ? json_real(number) : json_integer(integer);
	return *value ? 0 : -ENOMEM;
}

/* Returns the code in the four digits of a \u escape, or -1. */
static int32_t take_hex(struct reader *reader)
{
	int32_t code = 0;
	for (int i = 0; i < 4; i++) {
		static const char digits[] = "0123456789abcdef";
		if (reader->at == reader->end || !isxdigit((unsigned char)*reader->at))
			return -1;
		code = code << 4 |
		       (int32_t)(strchr(digits, tolower((unsigned char)*reader->at++)) - digits);
	}
	return code;
}

/* Writes the character @code at @out. Returns the end of it. */
static char *put_utf8(char *out, uint32_t code)
{
	if (code < 0x80) {
		*out++ = (char)code;
		return out;
	}
	int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
	*out++ = (char)((0xff00u >> (more + 1)) | code >> 6 * more);
	while (more-- > 0)
		*out++ = (char)(0x80 | (code >> 6 * more & 0x3f));
	return out;
}

/* Called after a backslash and u. Reads one character, which may need a second escape. */
static char *read_unicode(struct reader *reader, char *out)
{
	int32_t code = take_hex(reader);
	if (code >= 0xd800 && code < 0xdc00) {
		if (!take(reader, '\\') || !take(reader, 'u'))
			return NULL;
		int32_t low = take_hex(reader);
		if (low < 0xdc00 || low > 0xdfff)
			return NULL;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	} else if (code <= 0 || (code >= 0xdc00 && code <= 0xdfff)) {
		return NULL;
	}
	return put_utf8(out, (uint32_t)code);
}

static char *read_escape(struct reader *reader, char *out)
{
	static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	if (take(reader, 'u'))
		return read_unicode(reader, out);
	const char *name =
		reader->at < reader->end && *reader->at ? strchr(names, *reader->at) : NULL;
	if (!name)
		return NULL;
	reader->at++;
	*out++ = means[name - names];
	return out;
}

/* The caller frees *@text. Its size suffices: no escape is shorter than the character it means. */
static int read_text(struct reader *reader, char **text)
{
	int err = 0;
	*text = NULL;
	if (!take(reader, '"'))
		return unexpected(reader);
	const char *quote = reader->at;
	while (quote < reader->end && *quote != '"')
		quote += *quote == '\\' ? 2 : 1;
	if (quote >= reader->end)
		return fail(reader, "a string does not end");
	char *begin = malloc(quote - reader->at + 1), *out = begin;
	if (!begin)
		return -ENOMEM;
	while (!err && reader->at < quote) {
		if ((unsigned char)*reader->at < 0x20) {
			err = unexpected(reader);
		} else if (take(reader, '\\')) {
			out = read_escape(reader, out);
			err = out ? 0 : fail(reader, "an escape in a string is invalid");
		} else {
			*out++ = *reader->at++;
		}
	}
	if (!err)
		*out = '\0';
	if (!err && !text_is_utf8(begin))
		err = fail(reader, "a string is not UTF-8");
	reader->at = quote + 1;
	if (err)
		free(begin);
	else
		*text = begin;
	return err;
}

static int read_string(struct reader *reader, json_t **value)
{
	char *text;
	int err = read_text(reader, &text);
	if (err)
		return err;
	*value = json_string_nocheck(text);
	free(text);
	return *value ? 0 : -ENOMEM;
}

static int read_value(struct reader *reader, json_t **value);

static int read_member(struct reader *reader, json_t *object)
{
	json_t *value = NULL;
	char *key;
	int err = read_text(reader, &key);
	if (err)
		return err;
	skip_space(reader);
	if (json_object_get(object, key))
		err = fail(reader, "a key is repeated");
	else if (!take(reader, ':'))
		err = unexpected(reader);
	else
		err = read_value(reader, &value);
	if (!err && json_object_set_new_nocheck(object, key, value) < 0)
		err = -ENOMEM;
	free(key);
	return err;
}

static int read_element(struct reader *reader, json_t *array)
{
	json_t *value;
	int err = read_value(reader, &value);
	return !err && json_array_append_new(array, value) < 0 ? -ENOMEM : err;
}

/* Called after the opening bracket. Fills the empty @value, in part if this fails. */
static int read_inside(struct reader *reader, json_t *value, char closing,
		       int (*read_one)(struct reader *reader, json_t *value))
{
	int err = 0;
	if (++reader->depth > JSON_READ_DEPTH)
		return fail(reader, "nested too deeply");
	skip_space(reader);
	while (!err && !take(reader, closing)) {
		bool first = json_object_size(value) == 0 && json_array_size(value) == 0;
		if (!first && !take(reader, ','))
			return unexpected(reader);
		skip_space(reader);
		err = read_one(reader, value);
		skip_space(reader);
	}
	reader->depth--;
	return err;
}

static int read_inner(struct reader *reader, json_t **value)
{
	bool object = next_is(reader, '{');
	reader->at++;
	json_t *inner = object ? json_object() : json_array();
	int err = inner ? read_inside(reader, inner, object ? '}' : ']',
				      object ? read_member : read_element)
			: -ENOMEM;
	if (err)
		json_decref(inner);
	else
		*value = inner;
	return err;
}

static int read_word(struct reader *reader, json_t **value)
{
	const char *begin = reader->at;
	while (reader->at < reader->end && isalpha((unsigned char)*reader->at))
		reader->at++;
	size_t len = reader->at - begin;
	if (len == 4 && memcmp(begin, "true", 4) == 0)
		*value = json_true();
	else if (len == 5 && memcmp(begin, "false", 5) == 0)
		*value = json_false();
	else if (len == 4 && memcmp(begin, "null", 4) == 0)
		*value = json_null();
	else if (len)
		return fail(reader, "a word is not true, false or null");
	else
		return unexpected(reader);
	return 0;
}

static int read_value(struct reader *reader, json_t **value)
{
	*value = NULL;
	skip_space(reader);
	if (next_is(reader, '{') || next_is(reader, '['))
		return read_inner(reader, value);
	if (next_is(reader, '"'))
		return read_string(reader, value);
	if (next_is(reader, '-') ||
	    (reader->at < reader->end && isdigit((unsigned char)*reader->at)))
		return read_number(reader, value);
	return read_word(reader, value);
}

int json_read(json_t **value, const char *text, size_t len, char *error, size_t size)
{
	struct reader reader = {.at = text, .end = text + len, .error = error, .size = size};
	int err = read_value(&reader, value);
	skip_space(&reader);
	if (!err && reader.at != reader.end)
		err = unexpected(&reader);
	if (!err)
		return 0;
	json_decref(*value);
	*value = NULL;
	return err;
}
