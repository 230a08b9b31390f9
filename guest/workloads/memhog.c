// SPDX-License-Identifier: Apache-2.0
/*
 * memhog: takes nearly all memory, repeatedly, a little more each time.
 *
 *   memhog [--from PERCENT] [--to PERCENT] [--step PERCENT] [--rounds N] [--leave SIZE] [--hold SECONDS]
 *          [--rest SECONDS]
 *
 * A hundred per cent is MemAvailable at the start, less --leave (32M), so that the system keeps running. A round takes
 * --from (40) per cent, then --step (20) more each time, up to --to (100). Each time it writes every page, prints
 * "memhog: round I taken N MiB", keeps the memory for --hold seconds (1), checks every page, unmaps it, prints
 * "memhog: free N MiB", which is MemFree, and rests for --rest seconds (2). Prints "memhog: ok N MiB checked" at the
 * end. At a mismatch prints "memhog: BAD page at OFFSET expected E found F" and exits with status 1.
 */
#include <getopt.h>

#include "workload.h"

struct memhog {
	unsigned long from, to, step, rounds;
	size_t leave;
	uint64_t hold_us, rest_us;
	uint64_t checked;
};

static void usage(void)
{
	fputs("usage: memhog [--from PERCENT] [--to PERCENT] [--step PERCENT] [--rounds N] [--leave SIZE]\n"
	      "              [--hold SECONDS] [--rest SECONDS]\n",
	      stderr);
	exit(2);
}

static void memhog_parse(struct memhog *m, int argc, char **argv)
{
	enum { FROM = OPT_OWN, TO, STEP, ROUNDS, LEAVE, HOLD, REST };
	static const struct option options[] = {
		{"from", required_argument, NULL, FROM},
		{"to", required_argument, NULL, TO},
		{"step", required_argument, NULL, STEP},
		{"rounds", required_argument, NULL, ROUNDS},
		{"leave", required_argument, NULL, LEAVE},
		{"hold", required_argument, NULL, HOLD},
		{"rest", required_argument, NULL, REST},
		{NULL, 0, NULL, 0},
	};
	unsigned long *const counts[] = {&m->from, &m->to, &m->step, &m->rounds};
	int bad = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case FROM:
		case TO:
		case STEP:
		case ROUNDS:
			bad |= count_parse(optarg, 1, counts[opt - FROM]);
			break;
		case LEAVE:
			bad |= size_parse(optarg, &m->leave);
			break;
		case HOLD:
			bad |= time_parse(optarg, 1e6, &m->hold_us);
			break;
		case REST:
			bad |= time_parse(optarg, 1e6, &m->rest_us);
			break;
		default:
			usage();
		}
	}
	if (bad || optind != argc || m->from > m->to || m->to > 100)
		usage();
}

/* Returns the value of a line of /proc/meminfo, in bytes. */
static size_t meminfo(const char *name)
{
	unsigned long long kib = 0;
	char line[128];
	size_t length = strlen(name);
	FILE *file = fopen("/proc/meminfo", "r");

	if (!file)
		fail("memhog", "/proc/meminfo");
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length) && line[length] == ':')
			kib = strtoull(line + length + 1, NULL, 10);
	fclose(file);
	return (size_t)kib << 10;
}

static uint64_t pattern(size_t page, unsigned long round)
{
	return ((uint64_t)page << 16 ^ round) * 0x9e3779b97f4a7c15 | 1;
}

static void take(struct memhog *m, size_t size, unsigned long round)
{
	size_t pages = size / page_size();
	size_t words = page_size() / sizeof(uint64_t);
	uint64_t *mem = memory_take(size, PAGES_DEFAULT);

	if (!mem)
		fail("memhog", "cannot map memory");
	for (size_t page = 0; page < pages; page++)
		mem[page * words + page % words] = pattern(page, round);
	printf("memhog: round %lu taken %zu MiB\n", round, size / MIB);
	sleep_us(m->hold_us);
	for (size_t page = 0; page < pages; page++) {
		uint64_t found = mem[page * words + page % words];

		if (found != pattern(page, round)) {
			printf("memhog: BAD page at %zu expected %llx found %llx\n",
			       page * page_size(), (unsigned long long)pattern(page, round),
			       (unsigned long long)found);
			exit(1);
		}
	}
	m->checked += size;
	munmap(mem, size);
	printf("memhog: free %zu MiB\n", meminfo("MemFree") / MIB);
	sleep_us(m->rest_us);
}

int main(int argc, char **argv)
{
	struct memhog m = {.from = 40,
			   .to = 100,
			   .step = 20,
			   .rounds = 1,
			   .leave = 32 * MIB,
			   .hold_us = 1000000,
			   .rest_us = 2000000};
	size_t all;

	setvbuf(stdout, NULL, _IOLBF, 0);
	memhog_parse(&m, argc, argv);
	all = meminfo("MemAvailable");
	if (all <= m.leave) {
		fprintf(stderr, "memhog: only %zu MiB are available\n", all / MIB);
		return 1;
	}
	all -= m.leave;
	for (unsigned long round = 1; round <= m.rounds; round++)
		for (unsigned long percent = m.from; percent <= m.to; percent += m.step)
			take(&m, all / 100 * percent & ~(page_size() - 1), round);
	printf("memhog: ok %llu MiB checked\n", (unsigned long long)(m.checked / MIB));
	return 0;
}
