// SPDX-License-Identifier: Apache-2.0
/*
 * fault: measures the speed of page faults.
 *
 *   fault SIZE --seconds S|--rounds N [--file DIR] [--thp|--no-thp]
 *
 * A round maps SIZE, writes a byte to each page and unmaps it; rounds follow without a pause. The memory is
 * anonymous, or with --file a private mapping of a file without a name in DIR, so that each page is a copy
 * of the file's. A first round, which fills the file, does not count. Prints at the end, on one line,
 * "fault: rounds=N round_mean_us=U round_min_us=U round_max_us=U total_ms=T". The clock is CLOCK_MONOTONIC.
 */
#include <fcntl.h>
#include <getopt.h>

#include "workload.h"

struct fault {
	size_t size;
	enum page_kind kind;
	uint64_t time_us;     /* 0: until the rounds are done */
	unsigned long rounds; /* 0: until the time is over */
	const char *dir;      /* NULL: anonymous memory */
	int fd;
};

static void usage(void)
{
	fputs("usage: fault SIZE --seconds S|--rounds N [--file DIR] [--thp|--no-thp]\n", stderr);
	exit(2);
}

static void fault_parse(struct fault *f, int argc, char **argv)
{
	enum { SECONDS = OPT_OWN, ROUNDS, INTO_FILE };
	static const struct option options[] = {
		{"thp", no_argument, NULL, OPT_THP},
		{"no-thp", no_argument, NULL, OPT_NO_THP},
		{"seconds", required_argument, NULL, SECONDS},
		{"rounds", required_argument, NULL, ROUNDS},
		{"file", required_argument, NULL, INTO_FILE},
		{NULL, 0, NULL, 0},
	};
	int bad = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case OPT_THP:
			f->kind = PAGES_THP;
			break;
		case OPT_NO_THP:
			f->kind = PAGES_SMALL;
			break;
		case SECONDS:
			bad |= time_parse(optarg, 1e6, &f->time_us);
			break;
		case ROUNDS:
			bad |= count_parse(optarg, 1, &f->rounds);
			break;
		case INTO_FILE:
			f->dir = optarg;
			break;
		default:
			usage();
		}
	}
	if (bad || !f->rounds == !f->time_us || optind != argc - 1 ||
	    size_parse(argv[optind], &f->size))
		usage();
}

static void file_open(struct fault *f)
{
	f->fd = open(f->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (f->fd < 0 || ftruncate(f->fd, (off_t)f->size))
		fail("fault", f->dir);
}

static void *file_map(const struct fault *f)
{
	void *mem =
		mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, f->fd, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

/* Runs one round. Returns the time that it took, in microseconds. */
static uint64_t fault_round(const struct fault *f)
{
	uint64_t start = now_us();
	void *mem = f->dir ? file_map(f) : memory_take(f->size, f->kind);

	if (!mem)
		fail("fault", "cannot map memory");
	memory_touch(mem, f->size);
	if (munmap(mem, f->size))
		fail("fault", "cannot unmap memory");
	return now_us() - start;
}

int main(int argc, char **argv)
{
	struct fault f = {.kind = PAGES_DEFAULT, .fd = -1};
	uint64_t sum = 0, min = UINT64_MAX, max = 0, start;
	unsigned long rounds = 0;

	fault_parse(&f, argc, argv);
	if (f.dir)
		file_open(&f);
	fault_round(&f);
	start = now_us();
	do {
		uint64_t took = fault_round(&f);

		sum += took;
		min = took < min ? took : min;
		max = took > max ? took : max;
		rounds++;
	} while (f.rounds ? rounds < f.rounds : now_us() - start < f.time_us);
	printf("fault: rounds=%lu round_mean_us=%llu round_min_us=%llu round_max_us=%llu total_ms=%llu\n",
	       rounds, (unsigned long long)(sum / rounds), (unsigned long long)min,
	       (unsigned long long)max, (unsigned long long)((now_us() - start) / 1000));
	return 0;
}
