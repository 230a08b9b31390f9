// SPDX-License-Identifier: Apache-2.0
/*
 * blockio: measures how fast a block device reads and writes, past the page cache.
 *
 *   blockio DEVICE read|write --count N [--size SIZE] [--depth N] [--random] [--discard N]
 *
 * Makes N requests of SIZE (4K), with up to --depth (1) of them under way at a time (Linux's AIO), one after the other from
 * the start of the device, or at random places. They stay in the first half of the device. With --discard a second thread
 * meanwhile discards 1 MiB of the second half after each N of the requests. Prints "blockio: N requests of SIZE bytes in U
 * us". The clock is CLOCK_MONOTONIC.
 */
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "workload.h"

#define DEPTH_MAX   64
#define DISCARD_LEN MIB

/* linux/aio_abi.h and linux/fs.h: a musl without the kernel's headers has neither. */
#define IOCB_CMD_PREAD	0
#define IOCB_CMD_PWRITE 1
#define BLK_DISCARD	0x1277
#define BLK_GET_SIZE64	0x80081272

struct iocb {
	uint64_t data;
	uint32_t key, rw_flags;
	uint16_t opcode;
	int16_t priority;
	uint32_t fd;
	uint64_t buf, bytes;
	int64_t offset;
	uint64_t reserved;
	uint32_t flags, event_fd;
};

struct io_event {
	uint64_t data, obj;
	int64_t res, res2;
};

struct blockio {
	const char *device;
	bool write, random;
	size_t size, area; /* of a request; of what they are made in */
	unsigned long count, depth, discard_every;
	int fd;
	uint64_t seed, next; /* the next request's number */
	sem_t discards;	     /* that are due */
};

static void usage(void)
{
	fputs("usage: blockio DEVICE read|write --count N [--size SIZE] [--depth N] [--random] [--discard N]\n",
	      stderr);
	exit(2);
}

static void blockio_parse(struct blockio *b, int argc, char **argv)
{
	enum { COUNT = OPT_OWN, SIZE, DEPTH, RANDOM, DISCARD };
	static const struct option options[] = {
		{"count", required_argument, NULL, COUNT},
		{"size", required_argument, NULL, SIZE},
		{"depth", required_argument, NULL, DEPTH},
		{"random", no_argument, NULL, RANDOM},
		{"discard", required_argument, NULL, DISCARD},
		{NULL, 0, NULL, 0},
	};
	int bad = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case COUNT:
			bad |= count_parse(optarg, 1, &b->count);
			break;
		case SIZE:
			bad |= size_parse(optarg, &b->size);
			break;
		case DEPTH:
			bad |= count_parse(optarg, 1, &b->depth);
			break;
		case RANDOM:
			b->random = true;
			break;
		case DISCARD:
			bad |= count_parse(optarg, 1, &b->discard_every);
			break;
		default:
			usage();
		}
	}
	if (bad || optind != argc - 2 || !b->count || b->depth > DEPTH_MAX || b->size % 512)
		usage();
	b->device = argv[optind];
	b->write = strcmp(argv[optind + 1], "write") == 0;
	if (!b->write && strcmp(argv[optind + 1], "read") != 0)
		usage();
}

static void blockio_open(struct blockio *b)
{
	uint64_t size = 0;

	b->fd = open(b->device,
		     (b->write || b->discard_every ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
	if (b->fd < 0 || ioctl(b->fd, (int)BLK_GET_SIZE64, &size))
		fail("blockio", b->device);
	b->area = (size_t)size / 2;
	if (b->area < b->size || b->area < DISCARD_LEN) {
		fprintf(stderr, "blockio: %s is too small\n", b->device);
		exit(1);
	}
}

static void *discard(void *arg)
{
	struct blockio *b = arg;
	unsigned long discards = b->count / b->discard_every;

	for (unsigned long i = 0; i < discards; i++) {
		uint64_t range[2] = {b->area + i % (b->area / DISCARD_LEN) * DISCARD_LEN,
				     DISCARD_LEN};

		while (sem_wait(&b->discards))
			;
		if (ioctl(b->fd, BLK_DISCARD, range))
			fail("blockio", "discard");
	}
	return NULL;
}

static int64_t next_offset(struct blockio *b)
{
	uint64_t block = b->next++;

	if (b->random) {
		/* Knuth's generator of 64 bits: the same places each time. */
		b->seed = b->seed * 6364136223846793005ULL + 1442695040888963407ULL;
		block = b->seed >> 33;
	}
	return (int64_t)(block % (b->area / b->size) * b->size);
}

/* Submits the requests of the given slots. */
static void submit(struct blockio *b, unsigned long context, struct iocb *slots,
		   const unsigned long *which, unsigned long n)
{
	struct iocb *list[DEPTH_MAX];

	for (unsigned long i = 0; i < n; i++) {
		list[i] = &slots[which[i]];
		list[i]->offset = next_offset(b);
	}
	/* A full device accepts some of them only. */
	for (unsigned long done = 0; done < n;) {
		long some = syscall(SYS_io_submit, context, (long)(n - done), list + done);

		if (some <= 0)
			fail("blockio", "io_submit");
		done += (unsigned long)some;
	}
}

static void run(struct blockio *b, unsigned long context, struct iocb *slots)
{
	unsigned long free_slots[DEPTH_MAX], n = b->depth < b->count ? b->depth : b->count;
	unsigned long submitted = n, done = 0;

	for (unsigned long i = 0; i < n; i++)
		free_slots[i] = i;
	submit(b, context, slots, free_slots, n);
	while (done < b->count) {
		struct io_event events[DEPTH_MAX];
		long got = syscall(SYS_io_getevents, context, 1L, (long)DEPTH_MAX, events, NULL);

		if (got <= 0)
			fail("blockio", "io_getevents");
		n = 0;
		for (long i = 0; i < got; i++) {
			if (events[i].res != (int64_t)b->size) {
				fprintf(stderr, "blockio: a request returned %lld\n",
					(long long)events[i].res);
				exit(1);
			}
			done++;
			if (b->discard_every && done % b->discard_every == 0)
				sem_post(&b->discards);
			if (submitted < b->count) {
				free_slots[n++] = (unsigned long)events[i].data;
				submitted++;
			}
		}
		if (n)
			submit(b, context, slots, free_slots, n);
	}
}

int main(int argc, char **argv)
{
	struct blockio b = {.size = 4096, .depth = 1, .seed = 1};
	static struct iocb slots[DEPTH_MAX];
	unsigned long context = 0;
	pthread_t thread;

	blockio_parse(&b, argc, argv);
	blockio_open(&b);
	unsigned char *buffers = memory_take(b.depth * b.size, PAGES_SMALL);
	if (!buffers || syscall(SYS_io_setup, DEPTH_MAX, &context))
		fail("blockio", "set-up");
	memset(buffers, 0xeb, b.depth * b.size);
	for (unsigned long i = 0; i < b.depth; i++)
		slots[i] = (struct iocb){.data = i,
					 .opcode = b.write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
					 .fd = (uint32_t)b.fd,
					 .buf = (uintptr_t)(buffers + i * b.size),
					 .bytes = b.size};
	sem_init(&b.discards, 0, 0);
	if (b.discard_every && pthread_create(&thread, NULL, discard, &b))
		fail("blockio", "pthread_create");
	uint64_t start = now_us();
	run(&b, context, slots);
	if (b.discard_every)
		pthread_join(thread, NULL);
	printf("blockio: %lu requests of %zu bytes in %llu us\n", b.count, b.size,
	       (unsigned long long)(now_us() - start));
	return 0;
}
