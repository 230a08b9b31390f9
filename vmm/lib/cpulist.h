/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of numbers as the kernel writes them for CPUs and nodes: "0-3,8".
 *
 * Pure. Thread: any.
 */
#ifndef EBB_LIB_CPULIST_H
#define EBB_LIB_CPULIST_H

#include <stdbool.h>
#include <stdint.h>

#define CPULIST_MAX 4096 /* numbers are less than this */

struct cpulist {
	uint64_t bits[CPULIST_MAX / 64]; /* bit i % 64 of word i / 64, as in a cpu_set_t */
	unsigned int count;		 /* number of set bits; 0: no list */
};

/*
 * Parses all of @text, which may end with one newline. Returns 0, -EINVAL if it is not a list (or
 * empty), -ERANGE if a number is too large.
 */
int cpulist_parse(struct cpulist *list, const char *text);

bool cpulist_has(const struct cpulist *list, unsigned int number);

#endif
