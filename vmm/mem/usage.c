// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* The kernel renders whole mappings, 700 bytes each, until a read is filled: a guard and RAM. */
#define BUFFER 2048

#define FIELD(name) offsetof(struct ram_usage, name)
#define NONE	    SIZE_MAX

/* The lines of smaps that count, and the figures, up to three, that each adds to. */
static const struct {
	const char *name;
	size_t field[3];
} counted[] = {
	{"Rss", {FIELD(rss), NONE, NONE}},
	{"Pss", {FIELD(pss), NONE, NONE}},
	{"Swap", {FIELD(swap), NONE, NONE}},
	{"Locked", {FIELD(locked), NONE, NONE}},
	{"LazyFree", {FIELD(lazyfree), NONE, NONE}},
	{"AnonHugePages", {FIELD(huge), NONE, NONE}},
	{"ShmemPmdMapped", {FIELD(huge), NONE, NONE}},
	/* Not divided by the number of mappings: no other process maps ebb's file. */
	{"Private_Hugetlb", {FIELD(rss), FIELD(pss), FIELD(huge)}},
	{"Shared_Hugetlb", {FIELD(rss), FIELD(pss), FIELD(huge)}},
};

static void count_line(const char *line, struct ram_usage *usage)
{
	const char *colon = strchr(line, ':');
	unsigned long long kib;
	char unit;

	if (!colon || sscanf(colon + 1, " %20llu k%c", &kib, &unit) != 2 || unit != 'B')
		return;
	for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
		size_t length = strlen(counted[i].name);
		if (line + length != colon || strncmp(line, counted[i].name, length) != 0)
			continue;
		for (int f = 0; f < 3 && counted[i].field[f] != NONE; f++)
			*(uint64_t *)((char *)usage + counted[i].field[f]) += kib << 10;
	}
}

/* Returns the bytes of [@from, @to) if it is guest RAM, else 0: no mapping is partly RAM. */
static uint64_t ram_bytes(const struct ram *ram, uint64_t from, uint64_t to)
{
	for (unsigned int i = 0; i < ram->regions; i++) {
		uint64_t start = (uintptr_t)ram->region[i].hva;
		if (from >= start && from < to && to - start <= ram->region[i].size)
			return to - from;
	}
	return 0;
}

int usage_parse(FILE *smaps, const struct ram *ram, struct ram_usage *usage)
{
	uint64_t size = ram_size(ram), covered = 0;
	char line[256];
	bool whole = true, inside = false;

	*usage = (struct ram_usage){0};
	while (fgets(line, sizeof(line), smaps)) {
		unsigned long long from, to;
		/* Skip the rest of a long line: a file's name can make one. */
		bool start = whole;
		whole = strchr(line, '\n') != NULL;
		if (!start)
			continue;
		if (sscanf(line, "%16llx-%16llx ", &from, &to) == 2) {
			if (covered == size)
				break; /* spare the kernel the rest */
			uint64_t bytes = ram_bytes(ram, from, to);
			inside = bytes > 0;
			covered += bytes;
		} else if (inside) {
			count_line(line, usage);
		}
	}
	if (covered == size)
		return 0;
	*usage = (struct ram_usage){0};
	return -ENODATA;
}

int usage_open(void)
{
	return open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
}

int ram_usage(const struct ram *ram, struct ram_usage *usage)
{
	char buffer[BUFFER];

	*usage = (struct ram_usage){0};
	/* At the start, the kernel renders the mappings anew. */
	if (lseek(ram->smaps, 0, SEEK_SET) < 0)
		return -errno;
	int fd = fcntl(ram->smaps, F_DUPFD_CLOEXEC, 0);
	FILE *smaps = fd < 0 ? NULL : fdopen(fd, "r");
	if (!smaps) {
		int error = errno;
		if (fd >= 0)
			close(fd);
		return -error;
	}
	setvbuf(smaps, buffer, _IOFBF, sizeof(buffer));
	int error = usage_parse(smaps, ram, usage);
	fclose(smaps);
	return error;
}
