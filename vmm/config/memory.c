// SPDX-License-Identifier: Apache-2.0
/* The options about the guest's RAM. */
#include <errno.h>
#include <string.h>

#include "vmm/config/part.h"

#define MIB (UINT64_C(1) << 20)

enum { SIZE, BACKING, PREALLOC, LOCK, NUMA_NODE, DISCARD, ADMIT };

static const struct option options[] = {
	{SIZE, 'm', "mem", "SIZE",
	 "the guest's memory: a number and one of\nB K M G T P, or a number of MiB\n[64M * (CPUs + 3)]",
	 false},
	{BACKING, 0, "mem-backing", "KIND",
	 "what kind of memory to use: anon, memfd,\nhugetlbfs or hugetlbfs:PATH\n[anon, or memfd with --fs or a disk that is not\nraw]",
	 false},
	{PREALLOC, 0, "mem-prealloc", NULL, "allocate all memory at the start", false},
	{LOCK, 0, "mem-lock", NULL, "lock memory, so that it is never swapped out", false},
	{NUMA_NODE, 0, "numa-node", "N", "the host's NUMA node to take memory from", false},
	{DISCARD, 0, "discard", "HOW",
	 "take memory back at once (dontneed) or only when\nthe host needs it (free) [dontneed]",
	 false},
	{ADMIT, 0, "admit", "HOW",
	 "if the keeper says that the memory would not fit:\nwarn, do not start (strict), or do not ask (off)\n[warn]",
	 false},
};

static int set_size(struct vm_memory *memory, const char *text, struct option_error *error)
{
	uint64_t bytes = 0;
	/* For a size far below the minimum this helps more than "not a whole number of MiB". */
	int err = options_size("memory", text, &bytes, error);
	if (bytes < VM_MEMORY_MIN && (!err || bytes))
		return options_fail(error, "memory \"%s\" is too little; a guest needs 16M or more",
				    text);
	memory->size = bytes;
	return err;
}

static int set_backing(struct vm_memory *memory, const char *text, struct option_error *error)
{
	static const char *const kinds[] = {
		[RAM_ANON] = "anon", [RAM_MEMFD] = "memfd", [RAM_HUGETLBFS] = "hugetlbfs"};
	const char *path = strchr(text, ':');
	size_t len = path ? (size_t)(path - text) : strlen(text);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strlen(kinds[i]) != len || strncmp(kinds[i], text, len) != 0)
			continue;
		if (path && i != RAM_HUGETLBFS)
			return options_fail(error, "memory of kind %s takes no path; write %s",
					    kinds[i], kinds[i]);
		if (path && !path[1])
			return options_fail(
				error,
				"\"%s\" has an empty path; write hugetlbfs, or hugetlbfs:PATH with the path of the mount",
				text);
		memory->backing = i;
		memory->backing_given = true;
		memory->hugetlbfs = path ? path + 1 : NULL;
		return 0;
	}
	return options_fail(
		error,
		"unknown kind of memory \"%s\"; write anon, memfd, hugetlbfs or hugetlbfs:PATH",
		text);
}

static int set_discard(struct vm_memory *memory, const char *text, struct option_error *error)
{
	if (strcmp(text, "dontneed") == 0)
		memory->discard = DISCARD_DONTNEED;
	else if (strcmp(text, "free") == 0)
		memory->discard = DISCARD_FREE;
	else
		return options_fail(error, "unknown way to discard \"%s\"; write dontneed or free",
				    text);
	return 0;
}

static int set_admit(struct vm_memory *memory, const char *text, struct option_error *error)
{
	static const char *const words[] = {
		[VM_ADMIT_WARN] = "warn", [VM_ADMIT_STRICT] = "strict", [VM_ADMIT_OFF] = "off"};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(text, words[i]) == 0) {
			memory->admit = i;
			return 0;
		}
	return options_fail(error, "unknown word for --admit: \"%s\"; write warn, strict or off",
			    text);
}

static int set_numa_node(struct vm_memory *memory, const char *text, struct option_error *error)
{
	uint64_t number = 0;
	int err = options_number(text, &number, NULL);
	if (err || number >= VM_NUMA_NODES_MAX)
		return options_fail(error,
				    "\"%s\" is not a NUMA node; write its number, 0 to %d, as in "
				    "/sys/devices/system/node",
				    text, VM_NUMA_NODES_MAX - 1);
	memory->numa_node = (int)number;
	return 0;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_memory *memory = &((struct vm_config *)ctx)->memory;
	switch (id) {
	case SIZE:
		return set_size(memory, value, error);
	case BACKING:
		return set_backing(memory, value, error);
	case NUMA_NODE:
		return set_numa_node(memory, value, error);
	case DISCARD:
		return set_discard(memory, value, error);
	case ADMIT:
		return set_admit(memory, value, error);
	default:
		*(id == PREALLOC ? &memory->prealloc : &memory->lock) = true;
		return 0;
	}
}

static void defaults(void *ctx)
{
	struct vm_config *config = ctx;
	config->memory.numa_node = -1;
}

/* Another process serves a device, and has to see the guest's memory. */
static int check_shared(struct vm_memory *memory, const char *what, struct option_error *error)
{
	if (!memory->backing_given && memory->discard != DISCARD_FREE)
		memory->backing = RAM_MEMFD;
	if (memory->backing != RAM_ANON)
		return 0;
	return options_fail(error,
			    "%s shared memory, which %s excludes; leave out one of the two options",
			    what, memory->backing_given ? "--mem-backing anon" : "--discard free");
}

/* Checks for options that are valid alone, but not together. */
static int check_discard(const struct vm_memory *memory, struct option_error *error)
{
	if (memory->discard != DISCARD_FREE)
		return 0;
	/* madvise(2): MADV_FREE works on private anonymous pages only, and not on locked ones. */
	if (memory->backing != RAM_ANON)
		return options_fail(
			error,
			"--discard free works with --mem-backing anon only; leave out one of the two options");
	if (memory->lock)
		return options_fail(
			error,
			"--discard free does not work on locked memory; leave out --discard free or --mem-lock");
	return 0;
}

static int check(void *ctx, struct option_error *error)
{
	struct vm_config *config = ctx;
	if (!config->memory.size)
		config->memory.size = 64 * MIB * (config->machine.cpus + 3);
	const char *what = config->folders.count	     ? "--fs needs"
			   : vm_disks_served(&config->disks) ? "a disk that is not raw needs"
							     : NULL;
	int err = what ? check_shared(&config->memory, what, error) : 0;
	return err ? err : check_discard(&config->memory, error);
}

const struct option_group config_memory = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.defaults = defaults,
	.check = check,
};
