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

#define CPULIST_MAX 4096 /* numbers are below it */

struct cpulist {
	uint64_t bits[CPULIST_MAX / 64]; /* bit i % 64 of word i / 64, as in a cpu_set_t */
	unsigned int count;		 /* bits that are set; 0: no list */
};

/*
 * Returns 0, -EINVAL where @text is no list (an empty one is none), -ERANGE where a number is too
 * large. A list ends with the string or with one newline.
 */
int cpulist_parse(struct cpulist *list, const char *text);

bool cpulist_has(const struct cpulist *list, unsigned int number);

#endif
