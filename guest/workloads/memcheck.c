// SPDX-License-Identifier: Apache-2.0
/*
 * memcheck: does memory that comes and goes keep what was written, and come back as zeros?
 *
 *   memcheck SIZE --seconds S|--rounds N [--chunk SIZE]... [--seed N]
 *
 * A round takes chunks until SIZE is in use, each of one of the chunk sizes (64K 1M 2M 5M 16M) and kind of
 * page by turns of chance. Every word of a new chunk must be zero; then it is filled with a pattern of its
 * address and the seed. Then, for about half of the chunks: the pattern must still be there, and the chunk
 * is unmapped, or a part of it is dropped with MADV_DONTNEED, must read as zero and is filled again. After
 * the last round all that is left is checked once more.
 *
 * Says "memcheck: seed N", "memcheck: round I N MiB checked", and at the end "memcheck: ok N MiB checked",
 * where a byte counts each time it was compared. At the first mismatch it says
 *   memcheck: BAD page VA pfn PFN kind KIND chunk BYTES offset O expected E found F, N of the page's W words
 * and exits with status 1. With the same seed and rounds it does the same again.
 */
#include <fcntl.h>
#include <getopt.h>

#include "workload.h"

#define SIZES_MAX 16

struct chunk {
	uint64_t *mem;
	size_t size;
	enum page_kind kind;
	uint64_t salt; /* the pattern's, drawn anew for each filling */
};

struct memcheck {
	size_t size;
	size_t sizes[SIZES_MAX];
	unsigned int sizes_count;
	unsigned long rounds; /* 0: until the time is over */
	uint64_t time_us;     /* 0: until the rounds are done */
	uint64_t seed;
	uint64_t random;
	struct chunk *chunks;
	size_t count;
	size_t capacity;
	size_t used;
	uint64_t checked;
};

static void usage(void)
{
	fputs("usage: memcheck SIZE --seconds S|--rounds N [--chunk SIZE]... [--seed N]\n", stderr);
	exit(2);
}

static void memcheck_parse(struct memcheck *m, int argc, char **argv)
{
	enum { SECONDS = OPT_OWN, ROUNDS, CHUNK, SEED };
	static const struct option options[] = {
		{"seconds", required_argument, NULL, SECONDS},
		{"rounds", required_argument, NULL, ROUNDS},
		{"chunk", required_argument, NULL, CHUNK},
		{"seed", required_argument, NULL, SEED},
		{NULL, 0, NULL, 0},
	};
	unsigned long seed = now_us() & 0xffffffff;
	int bad = 0;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case SECONDS:
			bad |= time_parse(optarg, 1e6, &m->time_us);
			break;
		case ROUNDS:
			bad |= count_parse(optarg, 1, &m->rounds);
			break;
		case SEED:
			bad |= count_parse(optarg, 0, &seed);
			break;
		case CHUNK:
			if (m->sizes_count == SIZES_MAX)
				usage();
			bad |= size_parse(optarg, &m->sizes[m->sizes_count++]);
			break;
		default:
			usage();
		}
	}
	if (bad || !m->rounds == !m->time_us || optind != argc - 1 ||
	    size_parse(argv[optind], &m->size))
		usage();
	m->seed = seed;
	m->random = seed;
}

/* splitmix64: a step of a counter, well mixed. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static uint64_t random_next(struct memcheck *m)
{
	m->random += 0x9e3779b97f4a7c15;
	return mix(m->random);
}

/* What belongs at `word`; never zero for two neighbours, and different for each place and filling. */
static inline uint64_t pattern(const uint64_t *word, uint64_t salt)
{
	return ((uint64_t)(uintptr_t)word ^ salt) * 0x9e3779b97f4a7c15;
}

/* The page frame in the guest's physical memory, for those who may know it; else 0. */
static uint64_t page_frame(const void *address)
{
	uint64_t entry = 0;
	off_t at = (off_t)((uintptr_t)address / page_size() * sizeof(entry));
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
		entry = 0;
	close(fd);
	return entry & (((uint64_t)1 << 55) - 1);
}

/* Reports the page in which the word at `index` is wrong, and exits. `filled`: pattern, not zeros. */
static void __attribute__((noreturn)) bad_page(const struct chunk *c, size_t index, int filled)
{
	static const char *const kinds[] = {"default", "thp", "small"};
	size_t words = page_size() / sizeof(uint64_t);
	size_t first = index - index % words;
	size_t wrong = 0;

	for (size_t i = first; i < first + words; i++)
		wrong += c->mem[i] != (filled ? pattern(&c->mem[i], c->salt) : 0);
	printf("memcheck: BAD page %p pfn 0x%llx kind %s chunk %zu offset %zu expected %016llx found %016llx, "
	       "%zu of the page's %zu words\n",
	       (const void *)&c->mem[first], (unsigned long long)page_frame(&c->mem[first]),
	       kinds[c->kind], c->size, index * sizeof(uint64_t),
	       (unsigned long long)(filled ? pattern(&c->mem[index], c->salt) : 0),
	       (unsigned long long)c->mem[index], wrong, words);
	exit(1);
}

/*
 * Reading untouched memory shows the kernel's one page of zeros; only a write brings a page from the
 * allocator, the one that must have been cleared. So three times out of four a zero is written into each
 * page first, at a word of chance so that it hides no one place for ever.
 */
static void chunk_fault(struct memcheck *m, const struct chunk *c, size_t from, size_t to)
{
	uint64_t chance = random_next(m);
	size_t step = page_size() / sizeof(uint64_t);

	if (chance % 4 == 0)
		return;
	for (size_t i = from / sizeof(uint64_t) + (chance >> 8) % step; i < to / sizeof(uint64_t);
	     i += step)
		((volatile uint64_t *)c->mem)[i] = 0;
}

static void check_zero(struct memcheck *m, const struct chunk *c, size_t from, size_t to)
{
	for (size_t i = from / sizeof(uint64_t); i < to / sizeof(uint64_t); i++)
		if (c->mem[i])
			bad_page(c, i, 0);
	m->checked += to - from;
}

static void check_pattern(struct memcheck *m, const struct chunk *c)
{
	for (size_t i = 0; i < c->size / sizeof(uint64_t); i++)
		if (c->mem[i] != pattern(&c->mem[i], c->salt))
			bad_page(c, i, 1);
	m->checked += c->size;
}

static void chunk_fill(const struct chunk *c, size_t from, size_t to)
{
	for (size_t i = from / sizeof(uint64_t); i < to / sizeof(uint64_t); i++)
		c->mem[i] = pattern(&c->mem[i], c->salt);
}

/* Takes one chunk of at most `room` bytes. */
static void chunk_take(struct memcheck *m, size_t room)
{
	struct chunk *c;
	size_t size = m->sizes[random_next(m) % m->sizes_count];

	size = (size < room ? size : room) & ~(page_size() - 1);
	if (m->count == m->capacity) {
		m->capacity = m->capacity ? 2 * m->capacity : 64;
		m->chunks = realloc(m->chunks, m->capacity * sizeof(*m->chunks));
		if (!m->chunks)
			fail("memcheck", "cannot allocate the table of chunks");
	}
	c = &m->chunks[m->count++];
	c->size = size;
	c->kind = (enum page_kind)(random_next(m) % 3);
	c->salt = random_next(m);
	c->mem = memory_take(size, c->kind);
	if (!c->mem)
		fail("memcheck", "cannot map memory");
	m->used += size;
	chunk_fault(m, c, 0, size);
	check_zero(m, c, 0, size);
	chunk_fill(c, 0, size);
}

/* Checks the chunk at `index` and unmaps it; the last one takes its place in the table. */
static void chunk_free(struct memcheck *m, size_t index)
{
	struct chunk *c = &m->chunks[index];

	check_pattern(m, c);
	munmap(c->mem, c->size);
	m->used -= c->size;
	*c = m->chunks[--m->count];
}

/* Checks a chunk and drops a part of it: huge pages are split by this, blocks freed in pieces. */
static void chunk_punch(struct memcheck *m, struct chunk *c)
{
	size_t pages = c->size / page_size();
	size_t from = random_next(m) % pages;
	size_t to = from + 1 + random_next(m) % (pages - from);

	check_pattern(m, c);
	from *= page_size();
	to *= page_size();
	if (madvise((char *)c->mem + from, to - from, MADV_DONTNEED))
		fail("memcheck", "cannot drop a part of a chunk");
	chunk_fault(m, c, from, to);
	check_zero(m, c, from, to);
	chunk_fill(c, from, to);
}

static void memcheck_round(struct memcheck *m)
{
	size_t page = page_size();

	while (m->size - m->used >= page)
		chunk_take(m, m->size - m->used);
	for (size_t i = m->count; i-- > 0;) {
		switch (random_next(m) % 4) {
		case 0:
		case 1:
			chunk_free(m, i);
			break;
		case 2:
			chunk_punch(m, &m->chunks[i]);
			break;
		default:
			break; /* stays as it is for another round */
		}
	}
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {64 << 10, 1 << 20, 2 << 20, 5 << 20, 16 << 20};
	struct memcheck m = {.used = 0};
	uint64_t start = now_us();

	setvbuf(stdout, NULL, _IOLBF, 0);
	memcheck_parse(&m, argc, argv);
	if (!m.sizes_count) {
		memcpy(m.sizes, sizes, sizeof(sizes));
		m.sizes_count = sizeof(sizes) / sizeof(sizes[0]);
	}
	for (unsigned int i = 0; i < m.sizes_count; i++)
		if (m.sizes[i] < page_size())
			usage();
	printf("memcheck: seed %llu\n", (unsigned long long)m.seed);
	for (unsigned long round = 1; m.rounds ? round <= m.rounds : now_us() - start < m.time_us;
	     round++) {
		memcheck_round(&m);
		printf("memcheck: round %lu %llu MiB checked\n", round,
		       (unsigned long long)(m.checked / MIB));
	}
	while (m.count > 0)
		chunk_free(&m, m.count - 1);
	free(m.chunks);
	printf("memcheck: ok %llu MiB checked\n", (unsigned long long)(m.checked / MIB));
	return 0;
}
