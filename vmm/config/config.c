// SPDX-License-Identifier: Apache-2.0
#include "vmm/config/config.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "vmm/lib/guest_name.h"
#include "vmm/lib/options.h"

#define MIB	 (UINT64_C(1) << 20)
#define CPUS_MAX 4096 /* KVM's own limit is lower on most machines, and known only there */

enum option_id {
	OPTION_KERNEL,
	OPTION_INITRD,
	OPTION_PARAMS,
	OPTION_DISK,
	OPTION_MEM,
	OPTION_CPUS,
	OPTION_NAME,
	OPTION_BALLOON,
	OPTION_DEFLATE_ON_OOM,
	OPTION_FREE_PAGE_REPORTING,
	OPTION_DISCARD,
	OPTION_MEM_BACKING,
	OPTION_MEM_PREALLOC,
	OPTION_MEM_LOCK,
	OPTION_NUMA_NODE,
	OPTION_VCPU_AFFINITY,
	OPTION_CONSOLE,
	OPTION_DUMP_DTB,
	OPTION_DEBUG,
};

static const struct option options[] = {
	{OPTION_KERNEL, 'k', "kernel", "FILE", "the guest's kernel: vmlinux, bzImage or Image",
	 false},
	{OPTION_INITRD, 'i', "initrd", "FILE", "the guest's initial RAM disk", false},
	{OPTION_PARAMS, 'p', "params", "STRING", "more parameters for the guest's kernel", false},
	{OPTION_DISK, 'd', "disk", "FILE[,ro]",
	 "a raw image or a block device as a disk, ro for\n"
	 "reading only; again for more, up to 8: vda vdb …",
	 false},
	{OPTION_MEM, 'm', "mem", "SIZE",
	 "the guest's memory: a number and one of\n"
	 "B K M G T P, alone MiB [64M * (CPUs + 3)]",
	 false},
	{OPTION_CPUS, 'c', "cpus", "N", "the guest's CPUs [1]", false},
	{OPTION_NAME, 0, "name", "NAME", "the guest's name on this machine [guest-PID]", false},
	{OPTION_BALLOON, 0, "balloon", "SIZE",
	 "give the guest a memory balloon, with SIZE in it\n"
	 "from the start; it leaves the guest 16M or more",
	 true},
	{OPTION_DEFLATE_ON_OOM, 0, "deflate-on-oom", NULL,
	 "let a guest short of memory take it out of the\nballoon (implies --balloon)", false},
	{OPTION_FREE_PAGE_REPORTING, 0, "free-page-reporting", NULL,
	 "take memory back as the guest frees it\n(implies --balloon)", false},
	{OPTION_DISCARD, 0, "discard", "HOW",
	 "take it back at once, or when the host needs it:\ndontneed or free [dontneed]", false},
	{OPTION_MEM_BACKING, 0, "mem-backing", "KIND",
	 "what memory is made of: anon, memfd,\nhugetlbfs or hugetlbfs:PATH [anon]", false},
	{OPTION_MEM_PREALLOC, 0, "mem-prealloc", NULL, "have all memory from the start", false},
	{OPTION_MEM_LOCK, 0, "mem-lock", NULL, "keep memory from being swapped out", false},
	{OPTION_NUMA_NODE, 0, "numa-node", "N", "the host's node that memory comes from", false},
	{OPTION_VCPU_AFFINITY, 0, "vcpu-affinity", "CPULIST",
	 "the host's CPUs that the guest's run on: 1-3,5", false},
	{OPTION_CONSOLE, 0, "console", "KIND", "the guest's console: serial [serial]", false},
	{OPTION_DUMP_DTB, 0, "dump-dtb", "FILE",
	 "write the device tree that the guest is handed\nto FILE (arm64 and riscv64)", false},
	{OPTION_DEBUG, 0, "debug", NULL, "say what is being done", false},
	OPTION_HELP_LINE,
};

static const struct option_table table = {
	.command = "ebb run",
	.words = "[KERNEL]",
	.about = "Runs a Linux guest with its console here; Ctrl-A x ends it.",
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
};

/* --- values ---------------------------------------------------------------------------------- */

static int set_memory(struct vm_config *config, const char *text, struct option_error *error)
{
	uint64_t bytes = 0;
	/* A size too small by far is better called that than not a whole number of MiB. */
	int err = options_size("memory", text, &bytes, error);
	if (bytes < VM_MEMORY_MIN && (!err || bytes))
		return options_fail(error, "memory \"%s\" is too little; a guest needs 16M or more",
				    text);
	config->memory = bytes;
	return err;
}

static int set_cpus(struct vm_config *config, const char *text, struct option_error *error)
{
	uint64_t number = 0;
	int err = options_number(text, &number, NULL);
	if (err == -EINVAL || (!err && number == 0))
		return options_fail(error, "\"%s\" is not a number of CPUs; write 1 or more", text);
	if (err || number > CPUS_MAX)
		return options_fail(error, "%s CPUs are too many; write %d or fewer", text,
				    CPUS_MAX);
	config->cpus = (unsigned int)number;
	return 0;
}

static int set_name(struct vm_config *config, const char *text, struct option_error *error)
{
	const char *wrong = vm_name_error(text);
	if (wrong)
		return options_fail(error, "the name \"%s\" %s; write 1 to %d characters, no slash",
				    text, wrong, VM_NAME_MAX);
	config->name = text;
	return 0;
}

static int set_file(const char **file, const char *what, const char *text,
		    struct option_error *error)
{
	if (!*text)
		return options_fail(error, "the %s's file name is empty; name the file", what);
	*file = text;
	return 0;
}

static int set_kernel(struct vm_config *config, const char *text, struct option_error *error)
{
	if (config->kernel)
		return options_fail(error, "two kernels: \"%s\" and \"%s\"; name one",
				    config->kernel, text);
	return set_file(&config->kernel, "kernel", text, error);
}

static int set_disk(struct vm_config *config, const char *text, struct option_error *error)
{
	const char *comma = strrchr(text, ',');
	size_t length = comma ? (size_t)(comma - text) : strlen(text);

	if (comma && strcmp(comma, ",ro") != 0)
		return options_fail(error,
				    "the disk \"%s\" has something else than ro behind its comma; "
				    "write FILE or FILE,ro",
				    text);
	if (length == 0)
		return options_fail(error, "a disk's file name is empty; name the file");
	if (length >= PATH_MAX)
		return options_fail(error, "a disk's file name is too long; write %d bytes or less",
				    PATH_MAX - 1);
	if (config->disks == VM_DISKS_MAX)
		return options_fail(error, "the disk \"%s\" is one too many; a guest can have %d",
				    text, VM_DISKS_MAX);
	config->disk[config->disks++] = (struct vm_disk){text, (unsigned int)length, comma != NULL};
	return 0;
}

static int set_console(const char *text, struct option_error *error)
{
	if (strcmp(text, "serial") != 0)
		return options_fail(error, "unknown console \"%s\"; there is only \"serial\"",
				    text);
	return 0;
}

static int set_balloon(struct vm_config *config, const char *text, struct option_error *error)
{
	config->balloon = true;
	config->balloon_size = 0;
	return text ? options_size("the balloon", text, &config->balloon_size, error) : 0;
}

static int set_backing(struct vm_config *config, const char *text, struct option_error *error)
{
	static const char *const kinds[] = {
		[RAM_ANON] = "anon", [RAM_MEMFD] = "memfd", [RAM_HUGETLBFS] = "hugetlbfs"};
	const char *path = strchr(text, ':');
	size_t len = path ? (size_t)(path - text) : strlen(text);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strlen(kinds[i]) != len || strncmp(kinds[i], text, len) != 0)
			continue;
		if (path && i != RAM_HUGETLBFS)
			return options_fail(error, "memory of kind %s has no path; write %s",
					    kinds[i], kinds[i]);
		if (path && !path[1])
			return options_fail(error,
					    "\"%s\" names no path; write hugetlbfs, or "
					    "hugetlbfs:PATH with where it is mounted",
					    text);
		config->backing = i;
		config->hugetlbfs = path ? path + 1 : NULL;
		return 0;
	}
	return options_fail(error,
			    "unknown kind of memory \"%s\"; there are anon, memfd, hugetlbfs "
			    "and hugetlbfs:PATH",
			    text);
}

static int set_discard(struct vm_config *config, const char *text, struct option_error *error)
{
	if (strcmp(text, "dontneed") == 0)
		config->discard = DISCARD_DONTNEED;
	else if (strcmp(text, "free") == 0)
		config->discard = DISCARD_FREE;
	else
		return options_fail(
			error, "unknown way to discard \"%s\"; there are dontneed and free", text);
	return 0;
}

static int set_affinity(struct vm_config *config, const char *text, struct option_error *error)
{
	int err = cpulist_parse(&config->vcpu_affinity, text);
	if (err == -ERANGE)
		return options_fail(error,
				    "the CPUs \"%s\" are beyond any host's; write %d or less", text,
				    CPULIST_MAX - 1);
	/* A list read from a file may end in a newline, one of the command line does not. */
	if (err || strchr(text, '\n'))
		return options_fail(error, "\"%s\" is no list of CPUs; write one such as 1-3,5",
				    text);
	return 0;
}

static int set_numa_node(struct vm_config *config, const char *text, struct option_error *error)
{
	uint64_t number = 0;
	int err = options_number(text, &number, NULL);
	if (err || number >= VM_NUMA_NODES_MAX)
		return options_fail(error,
				    "\"%s\" is not a NUMA node; write its number, 0 to %d, as in "
				    "/sys/devices/system/node",
				    text, VM_NUMA_NODES_MAX - 1);
	config->numa_node = (int)number;
	return 0;
}

/* --- words ----------------------------------------------------------------------------------- */

static void set_flag(struct vm_config *config, enum option_id id)
{
	bool *flag = id == OPTION_FREE_PAGE_REPORTING ? &config->free_page_reporting
		     : id == OPTION_DEFLATE_ON_OOM    ? &config->deflate_on_oom
		     : id == OPTION_MEM_PREALLOC      ? &config->mem_prealloc
		     : id == OPTION_MEM_LOCK	      ? &config->mem_lock
						      : &config->debug;
	*flag = true;
	if (id == OPTION_FREE_PAGE_REPORTING || id == OPTION_DEFLATE_ON_OOM)
		config->balloon = true;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_config *config = ctx;
	switch (id) {
	case OPTION_WORD:
	case OPTION_KERNEL:
		return set_kernel(config, value, error);
	case OPTION_INITRD:
		return set_file(&config->initrd, "initrd", value, error);
	case OPTION_PARAMS:
		config->params = value;
		return 0;
	case OPTION_DISK:
		return set_disk(config, value, error);
	case OPTION_MEM:
		return set_memory(config, value, error);
	case OPTION_CPUS:
		return set_cpus(config, value, error);
	case OPTION_NAME:
		return set_name(config, value, error);
	case OPTION_CONSOLE:
		return set_console(value, error);
	case OPTION_DUMP_DTB:
		return set_file(&config->dump_dtb, "device tree", value, error);
	case OPTION_BALLOON:
		return set_balloon(config, value, error);
	case OPTION_DISCARD:
		return set_discard(config, value, error);
	case OPTION_MEM_BACKING:
		return set_backing(config, value, error);
	case OPTION_NUMA_NODE:
		return set_numa_node(config, value, error);
	case OPTION_VCPU_AFFINITY:
		return set_affinity(config, value, error);
	default:
		set_flag(config, id);
		return 0;
	}
}

/* --- the whole ------------------------------------------------------------------------------- */

static int check_balloon(const struct vm_config *config, struct option_error *error)
{
	uint64_t most = config->memory - VM_MEMORY_MIN;
	if (most > VM_BALLOON_MAX)
		most = VM_BALLOON_MAX / MIB * MIB;
	if (config->balloon_size <= most)
		return 0;
	return options_fail(error,
			    "a balloon of %lluM is too large for a guest with %lluM, which keeps "
			    "16M at least; write %lluM or less",
			    (unsigned long long)(config->balloon_size / MIB),
			    (unsigned long long)(config->memory / MIB),
			    (unsigned long long)(most / MIB));
}

/* What is each right alone, and cannot be together. */
static int check_memory(const struct vm_config *config, struct option_error *error)
{
	if (config->discard != DISCARD_FREE)
		return 0;
	/* MADV_FREE: madvise(2), "private anonymous pages", and not locked ones. */
	if (config->backing != RAM_ANON)
		return options_fail(error,
				    "--discard free works with --mem-backing anon only; leave one "
				    "of them away");
	if (config->mem_lock)
		return options_fail(error, "--discard free does not work on locked memory; leave "
					   "--discard free or --mem-lock away");
	return 0;
}

static int finish(struct vm_config *config, struct option_error *error)
{
	if (!config->kernel)
		return options_fail(error,
				    "no kernel given; name a vmlinux or a bzImage with -k FILE");
	if (!config->memory)
		config->memory = 64 * MIB * (config->cpus + 3);
	int err = check_balloon(config, error);
	return err ? err : check_memory(config, error);
}

enum config_outcome config_parse(struct vm_config *config, int argc, char **argv, char *error,
				 unsigned int error_size)
{
	struct option_error says = {error, error_size};
	*config = (struct vm_config){.params = "", .cpus = 1, .numa_node = -1};

	enum option_outcome outcome = options_parse(&table, argc, argv, apply, config, &says);
	if (outcome == OPTIONS_HELP)
		return CONFIG_HELP;
	if (outcome == OPTIONS_ERROR || finish(config, &says))
		return CONFIG_ERROR;
	return CONFIG_RUN;
}

void config_usage(FILE *out)
{
	options_usage(&table, out);
}
