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

/* How often smaps is read if the mappings change meanwhile: see usage_parse(). */
#define TRIES 3

#define FIELD(name) offsetof(struct ram_usage, name)
#define NONE	    SIZE_MAX

/* The lines of smaps that count, and the figures, up to three, that each adds to. */
static const struct {
	const char *name;
	size_t field[3];
} counted[] = {
	{"Rss", {FIELD(rss), NONE, NONE}},
	{"Pss", {FIELD(pss), NONE, NONE}},
	{"Anonymous", {FIELD(own), NONE, NONE}},
	{"Swap", {FIELD(swap), NONE, NONE}},
	{"Locked", {FIELD(locked), NONE, NONE}},
	{"LazyFree", {FIELD(lazyfree), NONE, NONE}},
	{"AnonHugePages", {FIELD(huge), NONE, NONE}},
	{"ShmemPmdMapped", {FIELD(huge), NONE, NONE}},
	/* Not divided by the number of mappings: no other process maps ebb's file. */
	{"Private_Hugetlb", {FIELD(rss), FIELD(pss), FIELD(huge)}},
	{"Shared_Hugetlb", {FIELD(rss), FIELD(pss), FIELD(huge)}},
};

static bool is_called(const char *line, const char *colon, const char *name)
{
	size_t length = strlen(name);
	return line + length == colon && strncmp(line, name, length) == 0;
}

/* Sets *@colon and returns the figure, in bytes; 0 with *@colon NULL if the line has none. */
static uint64_t figure_in(const char *line, const char **colon)
{
	unsigned long long kib;
	char unit;

	*colon = strchr(line, ':');
	if (*colon && sscanf(*colon + 1, " %20llu k%c", &kib, &unit) == 2 && unit == 'B')
		return kib << 10;
	*colon = NULL;
	return 0;
}

static void count_line(const char *line, struct ram_usage *usage)
{
	const char *colon;
	uint64_t bytes = figure_in(line, &colon);

	for (size_t i = 0; colon && i < sizeof(counted) / sizeof(counted[0]); i++) {
		if (!is_called(line, colon, counted[i].name))
			continue;
		for (int f = 0; f < 3 && counted[i].field[f] != NONE; f++)
			*(uint64_t *)((char *)usage + counted[i].field[f]) += bytes;
	}
}

static void count_window_line(const char *line, struct window_usage *usage)
{
	const char *colon;
	uint64_t bytes = figure_in(line, &colon);

	if (!colon)
		return;
	if (is_called(line, colon, "Rss"))
		usage->rss += bytes;
	else if (is_called(line, colon, "Pss"))
		usage->pss += bytes;
	else if (is_called(line, colon, "Anonymous"))
		usage->copied += bytes;
}

/* Returns the index of the region that has all of [@from, @to), or -1: no mapping is partly in one. */
static int region_of(const struct ram_region *region, unsigned int regions, uint64_t from,
		     uint64_t to)
{
	for (unsigned int i = 0; i < regions; i++) {
		uint64_t start = (uintptr_t)region[i].hva;
		if (from >= start && from < to && to - start <= region[i].size)
			return (int)i;
	}
	return -1;
}

static uint64_t size_of_all(const struct ram *ram)
{
	uint64_t size = ram_size(ram);
	for (unsigned int i = 0; i < ram->windows; i++)
		size += ram->window[i].size;
	return size;
}

int usage_parse(FILE *smaps, const struct ram *ram, struct ram_usage *usage)
{
	const uint64_t size = ram_size(ram), all = size_of_all(ram);
	uint64_t covered = 0, seen = 0, last = 0;
	char line[256];
	bool whole = true, inside = false, overlaps = false;
	int window = -1;

	*usage = (struct ram_usage){0};
	while (fgets(line, sizeof(line), smaps)) {
		unsigned long long from, to;
		/* Skip the rest of a long line: a file's name can make one. */
		bool start = whole;
		whole = strchr(line, '\n') != NULL;
		if (!start)
			continue;
		if (sscanf(line, "%16llx-%16llx ", &from, &to) == 2) {
			if (seen == all)
				break; /* spare the kernel the rest */
			/* This one and the one before it became one between two reads. */
			overlaps |= from < last;
			last = to;
			inside = region_of(ram->region, ram->regions, from, to) >= 0;
			window = region_of(ram->window, ram->windows, from, to);
			covered += inside ? to - from : 0;
			seen += inside || window >= 0 ? to - from : 0;
		} else if (inside) {
			count_line(line, usage);
		} else if (window >= 0) {
			count_window_line(line, &usage->window[window]);
		}
	}
	if (covered == size && !overlaps)
		return 0;
	*usage = (struct ram_usage){0};
	return -ENODATA;
}

int usage_open(void)
{
	return open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
}

static int usage_once(const struct ram *ram, struct ram_usage *usage)
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

int ram_usage(const struct ram *ram, struct ram_usage *usage)
{
	int error = -ENODATA;

	for (int i = 0; i < TRIES && error == -ENODATA; i++)
		error = usage_once(ram, usage);
	return error;
}
