// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/memory.h"
#include "tests/unit/said.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Calls @found with every line of smaps that belongs to [@at, @at + @len). */
static void smaps(const void *at, size_t len, void (*found)(const char *line, void *ctx), void *ctx)
{
	char line[512];
	unsigned long from, to;
	bool here = false;
	FILE *file = fopen("/proc/self/smaps", "re");

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from >= (uintptr_t)at && to <= (uintptr_t)at + len;
		else if (here)
			found(line, ctx);
	}
	fclose(file);
}

struct sum {
	const char *name;
	uint64_t kib;
};

static void add(const char *line, void *ctx)
{
	struct sum *sum = ctx;
	size_t length = strlen(sum->name);
	unsigned long kib;

	if (strncmp(line, sum->name, length) == 0 && sscanf(line + length, ": %lu kB", &kib) == 1)
		sum->kib += kib;
}

uint64_t memory_smaps(const void *at, size_t len, const char *name)
{
	struct sum sum = {name, 0};
	smaps(at, len, add, &sum);
	return sum.kib << 10;
}

struct flag {
	char text[4];
	bool seen, missing;
};

static void look(const char *line, void *ctx)
{
	struct flag *flag = ctx;
	if (strncmp(line, "VmFlags:", 8) != 0)
		return;
	flag->seen = true;
	flag->missing = flag->missing || !strstr(line, flag->text);
}

bool memory_flag(const void *at, size_t len, const char *name)
{
	struct flag flag = {.text = {' ', name[0], name[1]}};
	smaps(at, len, look, &flag);
	return flag.seen && !flag.missing;
}

uint64_t memory_host(const char *name)
{
	char line[256];
	size_t length = strlen(name);
	unsigned long number = 0;
	FILE *file = fopen("/proc/meminfo", "re");

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			sscanf(line + length + 1, "%lu", &number);
	fclose(file);
	return number;
}

bool memory_is(const uint8_t *at, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++)
		if (at[i] != value)
			return false;
	return true;
}

const char *memory_init_says(const struct ram_config *config, const struct gpa_range *span,
			     unsigned int spans, int expected)
{
	struct ram refused;

	said_begin();
	int error = ram_init(&refused, config, span, spans);
	const char *said = said_end();
	ck_assert_msg(error == expected, "%d: %s", error, said);
	/* One line, and what it left is safe to release. */
	const char *end = strchr(said, '\n');
	ck_assert_msg(expected == 0 || (end && end[1] == '\0'), "%s", said);
	ram_release(&refused);
	return said;
}

bool memory_hugepages(const char *test, uint64_t pages)
{
	uint64_t available = memory_host("HugePages_Free") - memory_host("HugePages_Rsvd");
	if (available >= pages)
		return true;
	fprintf(stderr,
		"SKIPPED: %s: %lu huge pages are free, %lu are needed: 'sysctl vm.nr_hugepages=64', "
		"or tests/host/run\n",
		test, (unsigned long)available, (unsigned long)pages);
	return false;
}
