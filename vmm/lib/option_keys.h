/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses an option's value that has parts: "FILE,ro,format=raw" or "mode=user,mac=…". Parts are
 * separated by commas; a comma that belongs to a part is written twice, as for QEMU: "/tmp/a,,b" is
 * the file /tmp/a,b.
 *
 * Pure. Thread: any.
 */
#ifndef EBB_LIB_OPTION_KEYS_H
#define EBB_LIB_OPTION_KEYS_H

#include <limits.h>

#include "vmm/lib/options.h"

/* The most bytes of one part, with its terminator: enough for any path that the kernel accepts. */
#define OPTION_PART_SIZE PATH_MAX

/*
 * With this bit in its id a key is neither listed nor suggested: it is known only so that its
 * option_apply, which gets the id without the bit, can say what to do instead. Such keys come last.
 */
#define OPTION_UNLISTED (1 << 16)

struct option_key {
	int id; /* 0 and up; less than 32 */
	const char *name;
	const char *value; /* the value's name in messages, or NULL for a key without one */
	bool again;	   /* may be given several times */
};

struct option_keys {
	const char *what; /* "disk" */
	const char *word; /* the first part, which has no key: "FILE"; NULL: all have keys */
	const struct option_key *key;
	size_t keys;
};

/*
 * Calls @apply for each part of @text in order: first with OPTION_WORD, if @keys has a word, then
 * with the ids. The value is valid only during the call, and NULL for a key without one. Returns 0,
 * or not 0 with @error set if a key is unknown or given twice, lacks its value or has one that it
 * does not take, or @apply failed.
 */
int option_keys_parse(const struct option_keys *keys, const char *text, option_apply *apply,
		      void *ctx, struct option_error *error);

#endif
