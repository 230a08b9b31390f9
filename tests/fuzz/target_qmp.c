// SPDX-License-Identifier: Apache-2.0
/*
 * QMP: bytes of a client in pieces, their messages, and the answers. json_read() is compared with jansson's own
 * reader, and what codec_line() writes must be read as the same value. The first byte is the size of the pieces; an odd
 * one makes the socket one that only reads.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/host.h"
#include "vmm/control/codec.h"
#include "vmm/control/dispatch.h"
#include "vmm/control/guest_stat.h"
#include "vmm/lib/json.h"
#include "vmm/lib/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *echo(void *ctx, const json_t *arguments, struct control_error *error)
{
	(void)ctx, (void)error;
	return json_deep_copy(arguments);
}

static json_t *refuse(void *ctx, const json_t *arguments, struct control_error *error)
{
	/* The socket that only reads never gets here. */
	MUST(!*(const bool *)ctx);
	const char *name = json_string_value(json_object_get(arguments, "name"));
	return control_fail(error, "There is no '%s'", name ? name : "");
}

static const struct control_command commands[] = {
	{"echo", CONTROL_READS, echo}, {"refuse", CONTROL_ACTS, refuse}, {}};

static unsigned int depth_of(const json_t *value)
{
	unsigned int deepest = 0;
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_object(value)) {
		json_object_foreach((json_t *)value, key, member)
		{
			unsigned int depth = depth_of(member);
			deepest = depth > deepest ? depth : deepest;
		}
	} else if (json_is_array(value)) {
		json_array_foreach(value, i, member)
		{
			unsigned int depth = depth_of(member);
			deepest = depth > deepest ? depth : deepest;
		}
	} else {
		return 0;
	}
	return deepest + 1;
}

/* What ebb writes is one message, and the same. */
static void there_and_back(const json_t *value)
{
	struct codec codec;
	json_t *read;
	size_t len, used;
	char *line = codec_line(value, &len);

	MUST(line && len >= 2 && memcmp(line + len - 2, "\r\n", 2) == 0);
	codec_init(&codec, len + 2);
	/* A number ends with what follows it. */
	enum codec_result result = codec_feed(&codec, line, len, &used, &read);
	MUST(result == CODEC_MESSAGE || (result == CODEC_FATAL && depth_of(value) > 32));
	MUST(result == CODEC_FATAL || json_equal(read, value));
	json_decref(read);
	codec_release(&codec);
	free(line);
}

static void compare(const char *text, size_t len)
{
	const size_t flags = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES;
	char why[64] = "";
	json_error_t error;
	json_t *ours = NULL, *theirs = json_loadb(text, len, flags, &error);
	int result = json_read(&ours, text, len, why, sizeof(why));

	MUST(result == 0 || result == -EINVAL);
	MUST((result == 0) == (ours != NULL));
	MUST(strnlen(why, sizeof(why)) < sizeof(why));
	if (result == 0)
		MUST(theirs && json_equal(ours, theirs));
	/* jansson takes a zero behind a value for the end. */
	else if (theirs)
		MUST(depth_of(theirs) > JSON_READ_DEPTH || memchr(text, '\0', len));
	if (ours)
		there_and_back(ours);
	json_decref(ours);
	json_decref(theirs);
}

static ssize_t sink(void *ctx, const char *bytes, size_t len)
{
	(void)ctx, (void)bytes;
	return (ssize_t)len;
}

/* An answer of another ebb, or of what pretends to be one. */
static void stat(const json_t *answer)
{
	char text[256];
	struct option_error error = {text, sizeof(text)};
	json_t *stat = guest_stat_check(answer, &error);
	FILE *out = stat ? fopencookie(NULL, "w", (cookie_io_functions_t){.write = sink}) : NULL;

	if (!stat)
		return;
	json_t *guests = json_pack("[{s:s, s:O}]", "name", "fuzz", "stat", stat);
	guest_stat_print(stat, out);
	guest_stat_print_memory(stat, out);
	guest_stat_print_metrics(guests, out);
	fclose(out);
	json_decref(guests);
	json_decref(stat);
}

static void converse(const char *bytes, size_t left, size_t piece)
{
	bool reads_only = piece % 2 == 1;
	const struct dispatch dispatch = {commands, &reads_only, reads_only};
	struct codec codec;
	bool negotiated = false;

	codec_init(&codec, CODEC_MESSAGE_MAX);
	for (enum codec_result result = CODEC_MORE; left > 0 && result != CODEC_FATAL;) {
		json_t *message;
		size_t used, len = left < piece ? left : piece;
		result = codec_feed(&codec, bytes, len, &used, &message);
		MUST(used <= len && (result == CODEC_MESSAGE) == (message != NULL));
		MUST(result != CODEC_MORE || used == len);
		bytes += used;
		left -= used;
		json_t *answer = NULL;
		if (result == CODEC_MESSAGE) {
			answer = dispatch_answer(&dispatch, &negotiated, message);
			stat(message);
		} else if (result != CODEC_MORE) {
			answer = dispatch_error(codec.error);
		}
		MUST(!answer == (result == CODEC_MORE));
		if (answer)
			there_and_back(answer);
		json_decref(answer);
		json_decref(message);
	}
	codec_release(&codec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	host_reset();
	json_object_seed(1);
	compare((const char *)data + 1, size - 1);
	converse((const char *)data + 1, size - 1, data[0] ? data[0] : SIZE_MAX);
	return 0;
}
