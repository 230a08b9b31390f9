// SPDX-License-Identifier: Apache-2.0
/*
 * cached: prints how much of a file is in the page cache.
 *
 *   cached FILE FROM SIZE [--map]
 *
 * Prints "cached: N of M MiB" for the SIZE bytes at FROM, both multiples of a MiB (0M: the beginning). With --map,
 * maps and reads them first, and keeps them mapped until it is killed. FILE may be a block device.
 */
#include <fcntl.h>
#include <getopt.h>

#include "workload.h"

static void usage(void)
{
	fputs("usage: cached FILE FROM SIZE [--map]\n", stderr);
	exit(2);
}

static size_t resident(void *mem, size_t size)
{
	size_t pages = size / page_size();
	size_t found = 0;
	unsigned char *state = malloc(pages);

	if (!state || mincore(mem, size, state))
		fail("cached", "cannot ask which pages are cached");
	for (size_t i = 0; i < pages; i++)
		found += state[i] & 1;
	free(state);
	return found * page_size();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"map", no_argument, NULL, OPT_OWN},
						{NULL, 0, NULL, 0}};
	size_t from = 0;
	size_t size;
	int map = 0;
	volatile unsigned char *mem;
	int fd;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt != OPT_OWN)
			usage();
		map = 1;
	}
	if (optind != argc - 3 || size_parse(argv[optind + 2], &size) || size % MIB)
		usage();
	if (strcmp(argv[optind + 1], "0M") && (size_parse(argv[optind + 1], &from) || from % MIB))
		usage();

	fd = open(argv[optind], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail("cached", argv[optind]);
	mem = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, (off_t)from);
	if (mem == MAP_FAILED)
		fail("cached", "cannot map the file");
	for (size_t at = 0; map && at < size; at += page_size())
		(void)mem[at];
	printf("cached: %zu of %zu MiB\n", resident((void *)mem, size) / MIB, size / MIB);
	fflush(stdout);
	if (map)
		pause();
	return 0;
}
