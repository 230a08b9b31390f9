/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An option's value that has parts: "FILE,ro,format=raw" or "mode=user,mac=…". Parts are separated by commas;
 * a comma that belongs to a part is written twice, as QEMU's users do: "/tmp/a,,b" is the file /tmp/a,b.
 *
 * Pure. Thread: any.
 */
#ifndef EBB_LIB_OPTION_KEYS_H
#define EBB_LIB_OPTION_KEYS_H

#include <limits.h>

#include "vmm/lib/options.h"

/* Bytes of one part, with its terminator: a path of any length that the kernel takes. */
#define OPTION_PART_SIZE PATH_MAX

struct option_key {
	int id; /* 0 and up; less than 32 */
	const char *name;
	const char *value; /* what the value is called, or NULL for a key without one */
};

struct option_keys {
	const char *what; /* "disk" */
	const char *word; /* what comes first and has no key: "FILE"; NULL: nothing does */
	const struct option_key *key;
	size_t keys;
};

/*
 * Calls @apply for each part of @text in their order: first OPTION_WORD, where there is one, then the ids. The
 * value that @apply gets is valid during the call only, and NULL for a key without one. Returns 0, or not 0 with
 * @error set: a key that is unknown, given twice, or has a value too few or too many; or what @apply said.
 */
int option_keys_parse(const struct option_keys *keys, const char *text, option_apply *apply,
		      void *ctx, struct option_error *error);

#endif
