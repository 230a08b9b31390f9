/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes ↔ QMP messages. A connection is a stream of JSON values, which may follow each other with
 * or without space between them: this finds where each ends, and has json_read() read it. It goes by
 * QEMU's qobject/json-lexer.c: strings may be 'single-quoted', and a byte that no JSON has (a
 * control character but \t, \r and \n, or 0xFE, 0xFF) is an error that forces the parser into a
 * known-good state (docs/interop/qmp-spec.rst): what was begun is forgotten, and what follows is
 * skipped up to a structural character or the end of the line.
 *
 * Pure: no input or output. Thread: its owner's.
 */
#ifndef EBB_CONTROL_CODEC_H
#define EBB_CONTROL_CODEC_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define CODEC_MESSAGE_MAX ((size_t)64 << 10) /* bytes, of what a server takes */
#define CODEC_NESTING_MAX 32		     /* objects and arrays in each other */

enum codec_state {
	CODEC_BETWEEN, /* tokens */
	CODEC_ATOM,    /* a number, true, false, null, or what is none of them */
	CODEC_STRING,
	CODEC_ESCAPE,	/* after a backslash in a string */
	CODEC_RECOVERY, /* after a byte that no JSON has */
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
	CODEC_MORE,    /* all was taken, nothing is complete yet */
	CODEC_MESSAGE, /* one is complete */
	CODEC_BAD,     /* no message; the next one is looked for */
	CODEC_FATAL,   /* too long, too deep or no memory: the connection is to be ended */
};

/* All that a codec needs; @limit: the longest message, in bytes. */
void codec_init(struct codec *codec, size_t limit);
void codec_release(struct codec *codec);

/*
 * Takes @bytes until something is to be told; *@used says how many were taken: all with CODEC_MORE,
 * possibly none with CODEC_MESSAGE and CODEC_BAD, after which it is to be called again with the rest.
 * With CODEC_MESSAGE *@message is a new reference, of any JSON type; else NULL.
 */
enum codec_result codec_feed(struct codec *codec, const char *bytes, size_t len, size_t *used,
			     json_t **message);

/* @message as a line of ASCII ended by CRLF, to be freed, its length in *@len; NULL: no memory. */
char *codec_line(const json_t *message, size_t *len);

#endif
