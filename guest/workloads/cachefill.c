// SPDX-License-Identifier: Apache-2.0
/*
 * cachefill: fills the page cache, or a tmpfs, with files; then deletes some of them.
 *
 *   cachefill SIZE DIR [--files N] [--delete-every N]
 *
 * Writes SIZE bytes that are not zero to N files (1) of equal size, DIR/cachefill.0 and so on, and prints
 * "cachefill: written SIZE MiB in N files". With --delete-every N it then deletes every Nth of them and prints
 * "cachefill: deleted D files": many small files on a tmpfs, with every second one deleted, leave free memory
 * in fragments. Creates DIR if it does not exist. Does not sync: on a disk the pages stay dirty until the
 * kernel writes them.
 */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sys/stat.h>

#include "workload.h"

#define BLOCK ((size_t)256 << 10)

struct cachefill {
	size_t size;
	const char *dir;
	unsigned long files;
	unsigned long delete_every; /* 0: none */
};

static void usage(void)
{
	fputs("usage: cachefill SIZE DIR [--files N] [--delete-every N]\n", stderr);
	exit(2);
}

static void cachefill_parse(struct cachefill *c, int argc, char **argv)
{
	enum { FILES = OPT_OWN, DELETE_EVERY };
	static const struct option options[] = {
		{"files", required_argument, NULL, FILES},
		{"delete-every", required_argument, NULL, DELETE_EVERY},
		{NULL, 0, NULL, 0},
	};
	int bad = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case FILES:
			bad |= count_parse(optarg, 1, &c->files);
			break;
		case DELETE_EVERY:
			bad |= count_parse(optarg, 1, &c->delete_every);
			break;
		default:
			usage();
		}
	}
	if (bad || optind != argc - 2 || size_parse(argv[optind], &c->size))
		usage();
	c->dir = argv[optind + 1];
}

static void file_name(char name[PATH_MAX], const struct cachefill *c, unsigned long i)
{
	int n = snprintf(name, PATH_MAX, "%s/cachefill.%lu", c->dir, i);

	if (n < 0 || n >= PATH_MAX) {
		errno = ENAMETOOLONG;
		fail("cachefill", c->dir);
	}
}

static void file_write(const char *name, size_t size, const void *block)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		fail("cachefill", name);
	while (size > 0) {
		ssize_t n = write(fd, block, size < BLOCK ? size : BLOCK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail("cachefill", name);
		size -= (size_t)n;
	}
	if (close(fd))
		fail("cachefill", name);
}

int main(int argc, char **argv)
{
	struct cachefill c = {.files = 1};
	char name[PATH_MAX];
	unsigned long deleted = 0;
	void *block = malloc(BLOCK);

	if (!block)
		fail("cachefill", "cannot allocate a buffer");
	memset(block, 0xeb, BLOCK);
	setvbuf(stdout, NULL, _IOLBF, 0);
	cachefill_parse(&c, argc, argv);
	if (mkdir(c.dir, 0700) && errno != EEXIST)
		fail("cachefill", c.dir);
	for (unsigned long i = 0; i < c.files; i++) {
		file_name(name, &c, i);
		file_write(name, c.size / c.files, block);
	}
	printf("cachefill: written %zu MiB in %lu files\n", c.size / MIB, c.files);
	free(block);
	if (!c.delete_every)
		return 0;
	for (unsigned long i = c.delete_every - 1; i < c.files; i += c.delete_every, deleted++) {
		file_name(name, &c, i);
		if (unlink(name))
			fail("cachefill", name);
	}
	printf("cachefill: deleted %lu files\n", deleted);
	return 0;
}
