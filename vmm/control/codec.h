/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes ↔ QMP messages. A connection is a stream of JSON values, which may follow each other with
 * or without space between them: this finds the end of each, and reads it by json_read(). It
 * follows QEMU's qobject/json-lexer.c: strings may be 'single-quoted', and a byte that never occurs
 * in JSON (a control character except \t, \r and \n, or 0xFE, 0xFF) is an error that forces the
 * parser into a known-good state (docs/interop/qmp-spec.rst): the incomplete message is dropped,
 * and input is skipped up to a structural character or the end of the line.
 *
 * Pure: no input or output. Thread: its owner's.
 */
#ifndef EBB_CONTROL_CODEC_H
#define EBB_CONTROL_CODEC_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define CODEC_MESSAGE_MAX ((size_t)64 << 10) /* bytes that a server accepts */
#define CODEC_NESTING_MAX 32		     /* objects and arrays nested in each other */

enum codec_state {
	CODEC_BETWEEN, /* tokens */
	CODEC_ATOM,    /* a number, true, false, null, or an invalid word */
	CODEC_STRING,
	CODEC_ESCAPE,	/* after a backslash in a string */
	CODEC_RECOVERY, /* after a byte that JSON never has */
};

struct codec {
	enum codec_state state;
	char quote;	    /* that began the string */
	unsigned int depth; /* objects and arrays that are open */
	uint32_t arrays;    /* which of them are arrays: bit 0 is the innermost */
	size_t limit;	    /* bytes a message may have */
	size_t seen;	    /* bytes of this message, or skipped since an error */
	char *text;	    /* the message so far, as strict JSON; owned */
	size_t len;
	size_t size;
	char error[256]; /* of the last CODEC_BAD or CODEC_FATAL: a sentence, not always UTF-8 */
};

enum codec_result {
	CODEC_MORE,    /* all bytes were taken, no message is complete yet */
	CODEC_MESSAGE, /* one is complete */
	CODEC_BAD,     /* not a message; the search for the next one goes on */
	CODEC_FATAL,   /* too long, too deep or out of memory: end the connection */
};

/* @limit: the longest message, in bytes. */
void codec_init(struct codec *codec, size_t limit);
void codec_release(struct codec *codec);

/*
 * Takes @bytes until there is a result, and sets *@used to the number taken: all with CODEC_MORE,
 * possibly none with CODEC_MESSAGE and CODEC_BAD, after which the caller calls it again with the
 * rest. With CODEC_MESSAGE *@message is a new reference, of any JSON type; otherwise NULL.
 */
enum codec_result codec_feed(struct codec *codec, const char *bytes, size_t len, size_t *used,
			     json_t **message);

/*
 * Returns @message as a line of ASCII that ends in CRLF, which the caller frees, and sets *@len;
 * NULL: out of memory.
 */
char *codec_line(const json_t *message, size_t *len);

#endif
