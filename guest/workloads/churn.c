// SPDX-License-Identifier: Apache-2.0
/*
 * churn: measures the cost of taking memory again soon after it was freed.
 *
 *   churn SIZE --cycles N --pause MS [--thp|--no-thp]
 *
 * A cycle writes to every page of SIZE, unmaps it and pauses for MS milliseconds. Prints for each cycle
 * "churn: cycle I take US us", and at the end, on one line,
 * "churn: cycles=N take_mean_us=U take_min_us=U take_max_us=U total_ms=T". The take includes mapping and
 * touching only; the total includes everything, also the pauses. The clock is CLOCK_MONOTONIC.
 */
#include <getopt.h>

#include "workload.h"

struct churn {
	size_t size;
	enum page_kind kind;
	unsigned long cycles;
	uint64_t pause_us;
};

static void usage(void)
{
	fputs("usage: churn SIZE --cycles N --pause MS [--thp|--no-thp]\n", stderr);
	exit(2);
}

static void churn_parse(struct churn *c, int argc, char **argv)
{
	enum { CYCLES = OPT_OWN, PAUSE };
	static const struct option options[] = {
		{"thp", no_argument, NULL, OPT_THP},
		{"no-thp", no_argument, NULL, OPT_NO_THP},
		{"cycles", required_argument, NULL, CYCLES},
		{"pause", required_argument, NULL, PAUSE},
		{NULL, 0, NULL, 0},
	};
	int bad = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case OPT_THP:
			c->kind = PAGES_THP;
			break;
		case OPT_NO_THP:
			c->kind = PAGES_SMALL;
			break;
		case CYCLES:
			bad |= count_parse(optarg, 1, &c->cycles);
			break;
		case PAUSE:
			bad |= time_parse(optarg, 1e3, &c->pause_us);
			break;
		default:
			usage();
		}
	}
	if (bad || optind != argc - 1 || size_parse(argv[optind], &c->size))
		usage();
}

/* Takes and frees memory once. Returns the time of the take, in microseconds. */
static uint64_t churn_cycle(const struct churn *c)
{
	uint64_t start = now_us();
	uint64_t took;
	void *mem = memory_take(c->size, c->kind);

	if (!mem)
		fail("churn", "cannot map memory");
	memory_touch(mem, c->size);
	took = now_us() - start;
	munmap(mem, c->size);
	return took;
}

int main(int argc, char **argv)
{
	struct churn c = {.kind = PAGES_DEFAULT, .cycles = 8, .pause_us = 0};
	uint64_t sum = 0, min = UINT64_MAX, max = 0, start;

	setvbuf(stdout, NULL, _IOLBF, 0);
	churn_parse(&c, argc, argv);
	start = now_us();
	for (unsigned long cycle = 1; cycle <= c.cycles; cycle++) {
		uint64_t took = churn_cycle(&c);

		printf("churn: cycle %lu take %llu us\n", cycle, (unsigned long long)took);
		sum += took;
		min = took < min ? took : min;
		max = took > max ? took : max;
		sleep_us(c.pause_us);
	}
	printf("churn: cycles=%lu take_mean_us=%llu take_min_us=%llu take_max_us=%llu total_ms=%llu\n",
	       c.cycles, (unsigned long long)(sum / c.cycles), (unsigned long long)min,
	       (unsigned long long)max, (unsigned long long)((now_us() - start) / 1000));
	return 0;
}
