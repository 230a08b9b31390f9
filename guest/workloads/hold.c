// SPDX-License-Identifier: Apache-2.0
/*
 * hold: takes memory, keeps it for a while, frees it; once or repeatedly.
 *
 *   hold SIZE [--thp|--no-thp] [--sparse] [--rounds N] [--hold SECONDS|--wait] [--rest SECONDS]
 *
 * A round writes to every page of SIZE, or with --sparse to one in each 2 MiB, prints "hold: taken SIZE MiB",
 * keeps it for --hold seconds (1) or, with --wait, until a line comes on stdin, unmaps it, prints "hold: freed"
 * and rests for --rest seconds (0).
 * After the last round prints "hold: done". Exit status 0, or 1 with the reason on stderr.
 */
#include <getopt.h>

#include "workload.h"

struct hold {
	size_t size;
	enum page_kind kind;
	unsigned long rounds;
	uint64_t hold_us;
	uint64_t rest_us;
	int wait;
	int sparse;
};

static void usage(void)
{
	fputs("usage: hold SIZE [--thp|--no-thp] [--sparse] [--rounds N] [--hold SECONDS|--wait] [--rest SECONDS]\n",
	      stderr);
	exit(2);
}

static void hold_parse(struct hold *h, int argc, char **argv)
{
	enum { ROUNDS = OPT_OWN, HOLD, WAIT, REST, SPARSE };
	static const struct option options[] = {
		{"thp", no_argument, NULL, OPT_THP},
		{"no-thp", no_argument, NULL, OPT_NO_THP},
		{"rounds", required_argument, NULL, ROUNDS},
		{"hold", required_argument, NULL, HOLD},
		{"wait", no_argument, NULL, WAIT},
		{"rest", required_argument, NULL, REST},
		{"sparse", no_argument, NULL, SPARSE},
		{NULL, 0, NULL, 0},
	};
	int bad = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case OPT_THP:
			h->kind = PAGES_THP;
			break;
		case OPT_NO_THP:
			h->kind = PAGES_SMALL;
			break;
		case ROUNDS:
			bad |= count_parse(optarg, 1, &h->rounds);
			break;
		case HOLD:
			bad |= time_parse(optarg, 1e6, &h->hold_us);
			break;
		case WAIT:
			h->wait = 1;
			break;
		case SPARSE:
			h->sparse = 1;
			break;
		case REST:
			bad |= time_parse(optarg, 1e6, &h->rest_us);
			break;
		default:
			usage();
		}
	}
	if (bad || optind != argc - 1 || size_parse(argv[optind], &h->size))
		usage();
}

static void wait_for_line(void)
{
	int c;

	while ((c = getchar()) != '\n' && c != EOF)
		;
}

static void touch(const struct hold *h, char *mem)
{
	if (!h->sparse)
		memory_touch(mem, h->size);
	else
		for (size_t at = 0; at < h->size; at += 2 * MIB)
			memory_touch(mem + at, 1);
}

int main(int argc, char **argv)
{
	struct hold h = {.kind = PAGES_DEFAULT, .rounds = 1, .hold_us = 1000000};

	setvbuf(stdout, NULL, _IOLBF, 0);
	hold_parse(&h, argc, argv);
	for (unsigned long round = 0; round < h.rounds; round++) {
		void *mem = memory_take(h.size, h.kind);

		if (!mem)
			fail("hold", "cannot map memory");
		touch(&h, mem);
		printf("hold: taken %zu MiB\n", h.size / MIB);
		if (h.wait)
			wait_for_line();
		else
			sleep_us(h.hold_us);
		munmap(mem, h.size);
		printf("hold: freed\n");
		sleep_us(h.rest_us);
	}
	printf("hold: done\n");
	return 0;
}
