// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/cpulist.h"

#include <errno.h>
#include <string.h>

#include "vmm/lib/options.h"

bool cpulist_has(const struct cpulist *list, unsigned int number)
{
	return number < CPULIST_MAX && list->bits[number / 64] >> number % 64 & 1;
}

static void add(struct cpulist *list, unsigned int number)
{
	if (cpulist_has(list, number))
		return;
	list->bits[number / 64] |= UINT64_C(1) << number % 64;
	list->count++;
}

/* "5" or "2-5". */
static int parse_range(struct cpulist *list, const char **text)
{
	uint64_t first;
	int err = options_number(*text, &first, text);
	uint64_t last = first;
	if (!err && **text == '-')
		err = options_number(*text + 1, &last, text);
	if (err)
		return err;
	if (last >= CPULIST_MAX || first >= CPULIST_MAX)
		return -ERANGE;
	if (last < first)
		return -EINVAL;
	for (uint64_t i = first; i <= last; i++)
		add(list, (unsigned int)i);
	return 0;
}

int cpulist_parse(struct cpulist *list, const char *text)
{
	memset(list, 0, sizeof(*list));
	for (;;) {
		int err = parse_range(list, &text);
		if (!err && (!*text || strcmp(text, "\n") == 0))
			return 0;
		if (!err && *text != ',')
			err = -EINVAL;
		if (err) {
			list->count = 0;
			return err;
		}
		text++;
	}
}
