// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/codec.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/json.h"

/* The result of one byte. */
enum step {
	STEP_ON,       /* taken */
	STEP_AGAIN,    /* not taken: it belongs to the new state */
	STEP_COMPLETE, /* taken, and a value is complete */
	STEP_COMPLETE_BEFORE,
	STEP_STRAY,	 /* taken, and cannot be part of any message */
	STEP_UNEXPECTED, /* taken, and cannot be part of a message at this place */
	STEP_TOO_DEEP,
	STEP_NO_MEMORY,
};

void codec_init(struct codec *codec, size_t limit)
{
	*codec = (struct codec){.limit = limit};
}

void codec_release(struct codec *codec)
{
	free(codec->text);
	codec_init(codec, codec->limit);
}

static bool append(struct codec *codec, char byte)
{
	if (codec->len == codec->size) {
		size_t size = codec->size ? 2 * codec->size : 256;
		char *text = realloc(codec->text, size);
		if (!text)
			return false;
		codec->text = text;
		codec->size = size;
	}
	codec->text[codec->len++] = byte;
	return true;
}

static enum step take(struct codec *codec, char byte)
{
	return append(codec, byte) ? STEP_ON : STEP_NO_MEMORY;
}

static bool is_space(unsigned char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static bool is_structural(unsigned char byte)
{
	return byte && strchr("{}[]:,", byte);
}

/* Never occurs in JSON text; for tabs and ends of lines this is true only within a string. */
static bool is_stray(unsigned char byte)
{
	return byte < 0x20 || byte >= 0xfe;
}

static enum step opens(struct codec *codec, unsigned char byte)
{
	if (codec->depth == CODEC_NESTING_MAX)
		return STEP_TOO_DEEP;
	codec->depth++;
	codec->arrays = codec->arrays << 1 | (byte == '[');
	return take(codec, byte);
}

static enum step closes(struct codec *codec, unsigned char byte)
{
	if (codec->depth == 0 || (codec->arrays & 1) != (byte == ']'))
		return STEP_UNEXPECTED;
	codec->depth--;
	codec->arrays >>= 1;
	if (!append(codec, byte))
		return STEP_NO_MEMORY;
	return codec->depth ? STEP_ON : STEP_COMPLETE;
}

static enum step between(struct codec *codec, unsigned char byte)
{
	if (is_space(byte))
		return codec->depth ? take(codec, byte) : STEP_ON;
	if (is_stray(byte))
		return STEP_STRAY;
	if (byte == '{' || byte == '[')
		return opens(codec, byte);
	if (byte == '}' || byte == ']')
		return closes(codec, byte);
	if (byte == ',' || byte == ':')
		return codec->depth ? take(codec, byte) : STEP_UNEXPECTED;
	if (byte == '"' || byte == '\'') {
		codec->state = CODEC_STRING;
		codec->quote = byte;
		return take(codec, '"');
	}
	codec->state = CODEC_ATOM;
	return take(codec, byte);
}

/* json_read() will check whether the atom is valid. */
static enum step in_atom(struct codec *codec, unsigned char byte)
{
	if (!is_space(byte) && !is_stray(byte) && !is_structural(byte) && byte != '"' &&
	    byte != '\'')
		return take(codec, byte);
	codec->state = CODEC_BETWEEN;
	return codec->depth ? STEP_AGAIN : STEP_COMPLETE_BEFORE;
}

static enum step in_string(struct codec *codec, unsigned char byte)
{
	if (is_stray(byte))
		return STEP_STRAY;
	if (byte == '\\') {
		codec->state = CODEC_ESCAPE;
		return STEP_ON;
	}
	if (byte == codec->quote) {
		codec->state = CODEC_BETWEEN;
		if (!append(codec, '"'))
			return STEP_NO_MEMORY;
		return codec->depth ? STEP_ON : STEP_COMPLETE;
	}
	/* Between single quotes a double quote stands for itself. */
	if (byte == '"' && !append(codec, '\\'))
		return STEP_NO_MEMORY;
	return take(codec, byte);
}

static enum step in_escape(struct codec *codec, unsigned char byte)
{
	if (is_stray(byte))
		return STEP_STRAY;
	codec->state = CODEC_STRING;
	/* \' is QEMU's own escape; json_read() checks all others. */
	if (byte != '\'' && !append(codec, '\\'))
		return STEP_NO_MEMORY;
	return take(codec, byte);
}

static enum step recovery(struct codec *codec, unsigned char byte)
{
	if (!is_structural(byte) && (byte == '\t' || !is_stray(byte)))
		return STEP_ON;
	codec->state = CODEC_BETWEEN;
	codec->seen = 0;
	return STEP_AGAIN;
}

static enum step step(struct codec *codec, unsigned char byte)
{
	switch (codec->state) {
	case CODEC_BETWEEN:
		return between(codec, byte);
	case CODEC_ATOM:
		return in_atom(codec, byte);
	case CODEC_STRING:
		return in_string(codec, byte);
	case CODEC_ESCAPE:
		return in_escape(codec, byte);
	case CODEC_RECOVERY:
		break;
	}
	return recovery(codec, byte);
}

/* Keeps the buffer: the next message is likely as long. */
static void forget(struct codec *codec, enum codec_state next)
{
	codec->state = next;
	codec->depth = 0;
	codec->arrays = 0;
	codec->seen = 0;
	codec->len = 0;
}

static enum codec_result no_memory(struct codec *codec)
{
	snprintf(codec->error, sizeof(codec->error), "out of memory");
	forget(codec, CODEC_BETWEEN);
	return CODEC_FATAL;
}

/*
 * As QEMU does, json_read() refuses repeated keys. It also refuses a string with a NUL in it, which
 * QEMU accepts, because code here would see the string end at the NUL.
 */
static enum codec_result parse(struct codec *codec, json_t **message)
{
	char why[64];
	int err = json_read(message, codec->text, codec->len, why, sizeof(why));
	if (err == -ENOMEM)
		return no_memory(codec);
	if (err)
		snprintf(codec->error, sizeof(codec->error), "JSON parse error, %s", why);
	forget(codec, CODEC_BETWEEN);
	return err ? CODEC_BAD : CODEC_MESSAGE;
}

static enum codec_result fail(struct codec *codec, enum step why, unsigned char byte)
{
	enum codec_result result = CODEC_FATAL;
	if (why == STEP_STRAY) {
		snprintf(codec->error, sizeof(codec->error), "JSON parse error, stray byte 0x%02x",
			 byte);
		result = CODEC_BAD;
	} else if (why == STEP_UNEXPECTED) {
		snprintf(codec->error, sizeof(codec->error), "JSON parse error, unexpected '%c'",
			 byte);
		result = CODEC_BAD;
	} else if (why == STEP_TOO_DEEP) {
		snprintf(codec->error, sizeof(codec->error),
			 "JSON nesting depth limit exceeded (%d)", CODEC_NESTING_MAX);
	} else {
		return no_memory(codec);
	}
	forget(codec, why == STEP_STRAY ? CODEC_RECOVERY : CODEC_BETWEEN);
	return result;
}

static enum codec_result too_long(struct codec *codec)
{
	snprintf(codec->error, sizeof(codec->error), "JSON message size limit exceeded (%zu bytes)",
		 codec->limit);
	forget(codec, CODEC_BETWEEN);
	return CODEC_FATAL;
}

enum codec_result codec_feed(struct codec *codec, const char *bytes, size_t len, size_t *used,
			     json_t **message)
{
	*message = NULL;
	for (*used = 0; *used < len;) {
		unsigned char byte = bytes[*used];
		enum step what = step(codec, byte);
		if (what == STEP_AGAIN)
			continue;
		if (what == STEP_COMPLETE_BEFORE)
			return parse(codec, message);
		++*used;
		/* Space between messages does not count. */
		if (codec->len || codec->state == CODEC_RECOVERY)
			codec->seen++;
		if (codec->seen > codec->limit)
			return too_long(codec);
		if (what == STEP_COMPLETE)
			return parse(codec, message);
		if (what != STEP_ON)
			return fail(codec, what, byte);
	}
	return CODEC_MORE;
}

char *codec_line(const json_t *message, size_t *len)
{
	const size_t flags = JSON_ENSURE_ASCII | JSON_ENCODE_ANY;
	size_t size = json_dumpb(message, NULL, 0, flags);
	char *line = size ? malloc(size + 2) : NULL;
	if (!line)
		return NULL;
	/* This call allocates, too; if that fails, part of @line is uninitialized memory. */
	if (json_dumpb(message, line, size, flags) != size) {
		free(line);
		return NULL;
	}
	memcpy(line + size, "\r\n", 2);
	*len = size + 2;
	return line;
}
