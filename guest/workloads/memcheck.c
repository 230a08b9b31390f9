// SPDX-License-Identifier: Apache-2.0
/*
 * memcheck: checks that memory in use keeps its contents, and that new memory is zero.
 *
 *   memcheck SIZE [--seconds S] [--rounds N] [--processes N] [--chunk SIZE]... [--kind KIND] [--seed N]
 *            [--break zero|pattern]
 *
 * Goes on until both are over. A round takes chunks until SIZE is in use, each of a random chunk size (64K 1M
 * 2M 5M 16M) and kind. Every word of a new chunk must be zero; then it is filled with a pattern of its address
 * and the seed. Then about three quarters of the chunks are checked for their pattern. Two of the three
 * quarters are freed; of each chunk in the third a part is dropped, must read as zero and is filled again.
 * After the last round all chunks left are checked once more. Several processes share SIZE, each with random
 * numbers of its own.
 *
 * Kinds: default, thp, small   private memory with pages of the system's choice, huge ones, small ones
 *        shared, file          pages of a tmpfs, taken by a page fault; or by write(), which clears the rest
 *        sparse                a page every 2 MiB: each has a page table of its own
 *        stack, brk            memory that the process's stack and heap grow into; one chunk each at a time
 *
 * Prints "memcheck: seed N", "memcheck: round I N MiB checked" for each process, and at the end
 * "memcheck: ok N MiB checked", where a byte counts each time it was compared. At the first mismatch prints
 *   memcheck: BAD page VA pfn PFN kind KIND chunk BYTES offset O expected E found F, N of the page's W words; Z are 0
 * and exits with status 1. The same seed and rounds repeat the same steps. --break changes one bit of one
 * page just before it is first compared with zero, or with its pattern: an "ok" then means that memcheck
 * checks nothing.
 */
#include <fcntl.h>
#include <getopt.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "workload.h"

#define SIZES_MAX     16
#define PROCESSES_MAX 64
#define HUGE	      ((size_t)2 << 20)
/* Together less than the 8 MiB that a process's stack can have by default. */
#define STACK_OWN ((size_t)1 << 20)
#define STACK_MAX ((size_t)4 << 20)

enum kind {
	DEFAULT = PAGES_DEFAULT,
	THP = PAGES_THP,
	SMALL = PAGES_SMALL,
	SHARED,
	FILED,
	SPARSE,
	STACK,
	BRK,
	KINDS
};
static const char *const kind_names[] = {"default", "thp",    "small", "shared",
					 "file",    "sparse", "stack", "brk"};

enum breaking { BREAK_NOTHING, BREAK_ZERO, BREAK_PATTERN };

struct chunk {
	char *mem;
	size_t pages;
	size_t stride; /* from one page to the next */
	enum kind kind;
	int fd;	       /* -1: none */
	uint64_t salt; /* of the pattern, new for each filling */
};

struct memcheck {
	size_t size;
	size_t sizes[SIZES_MAX];
	unsigned int sizes_count;
	unsigned long rounds; /* 0: until the time is over */
	uint64_t time_us;     /* 0: until the rounds are done */
	unsigned long processes;
	enum kind only; /* KINDS: all */
	enum breaking breaking;
	unsigned long seed;
	uint64_t random;
	struct chunk *chunks;
	size_t count;
	size_t used;
	unsigned int busy; /* bits of the kinds in use that can have only one chunk */
	uint64_t checked;
};

static void usage(void)
{
	fputs("usage: memcheck SIZE [--seconds S] [--rounds N] [--processes N] [--chunk SIZE]... [--kind KIND] [--seed N]\n"
	      "                [--break zero|pattern]\n",
	      stderr);
	exit(2);
}

/* Finds the index of `text` among `count` words. Returns 0 or -EINVAL. */
static int word_parse(const char *text, const char *const *words, unsigned int count,
		      unsigned int *place)
{
	for (*place = 0; *place < count; (*place)++)
		if (!strcmp(text, words[*place]))
			return 0;
	return -EINVAL;
}

static void memcheck_parse(struct memcheck *m, int argc, char **argv)
{
	enum { SECONDS = OPT_OWN, ROUNDS, PROCESSES, CHUNK, KIND, SEED, BREAK };
	static const struct option options[] = {
		{"seconds", required_argument, NULL, SECONDS},
		{"rounds", required_argument, NULL, ROUNDS},
		{"processes", required_argument, NULL, PROCESSES},
		{"chunk", required_argument, NULL, CHUNK},
		{"kind", required_argument, NULL, KIND},
		{"seed", required_argument, NULL, SEED},
		{"break", required_argument, NULL, BREAK},
		{NULL, 0, NULL, 0},
	};
	static const char *const breaks[] = {"nothing", "zero", "pattern"};
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
		case PROCESSES:
			bad |= count_parse(optarg, 1, &m->processes);
			break;
		case SEED:
			bad |= count_parse(optarg, 0, &m->seed);
			break;
		case CHUNK:
			if (m->sizes_count == SIZES_MAX)
				usage();
			bad |= size_parse(optarg, &m->sizes[m->sizes_count++]);
			break;
		case KIND:
			bad |= word_parse(optarg, kind_names, KINDS, &m->only);
			break;
		case BREAK:
			bad |= word_parse(optarg, breaks, 3, &m->breaking);
			break;
		default:
			usage();
		}
	}
	if (bad || (!m->rounds && !m->time_us) || m->processes > PROCESSES_MAX ||
	    optind != argc - 1 || size_parse(argv[optind], &m->size))
		usage();
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

/* Returns the pattern for `word`: never zero for two neighbours at once, different for each place and filling. */
static inline uint64_t pattern(const uint64_t *word, uint64_t salt)
{
	return ((uint64_t)(uintptr_t)word ^ salt) * 0x9e3779b97f4a7c15;
}

/* Returns the page frame number in guest-physical memory, or 0 without the privilege to read it. */
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

/* --- pages ---------------------------------------------------------------------------------- */

static inline uint64_t *page_of(const struct chunk *c, size_t page)
{
	return (uint64_t *)(c->mem + page * c->stride);
}

static inline size_t page_words(void)
{
	return page_size() / sizeof(uint64_t);
}

/* Reports a page whose first wrong word is `at`, and exits. `filled`: a pattern was expected, not zeros. */
static void __attribute__((noreturn))
bad_page(const struct chunk *c, const uint64_t *page, size_t at, int filled)
{
	size_t wrong = 0, zero = 0;

	for (size_t i = 0; i < page_words(); i++) {
		wrong += page[i] != (filled ? pattern(&page[i], c->salt) : 0);
		zero += page[i] == 0;
	}
	printf("memcheck: BAD page %p pfn 0x%llx kind %s chunk %zu offset %zu expected %016llx found %016llx, "
	       "%zu of the page's %zu words; %zu are 0\n",
	       (const void *)page, (unsigned long long)page_frame(page), kind_names[c->kind],
	       c->pages * page_size(), (size_t)((const char *)&page[at] - c->mem),
	       (unsigned long long)(filled ? pattern(&page[at], c->salt) : 0),
	       (unsigned long long)page[at], wrong, page_words(), zero);
	exit(1);
}

/* For --break: changes one bit of one page, which the next check must find. */
static void pages_break(struct memcheck *m, const struct chunk *c, size_t from, size_t to,
			enum breaking what)
{
	uint64_t chance;

	if (m->breaking != what || (m->only != KINDS && c->kind != m->only))
		return;
	chance = random_next(m);
	page_of(c, from + chance % (to - from))[(chance >> 32) % page_words()] ^= (uint64_t)1
										  << (chance >> 58);
	m->breaking = BREAK_NOTHING;
}

/*
 * Reading untouched memory shows the kernel's zero page; only a write takes a page from the allocator, and
 * that page must have been cleared. So, three times out of four, write a zero to each page first, at a random
 * word, so that the zero does not always hide the same place.
 */
static void pages_fault(struct memcheck *m, const struct chunk *c, size_t from, size_t to)
{
	static const uint64_t zero;
	uint64_t chance = random_next(m);
	size_t word = (chance >> 8) % page_words();

	if (chance % 4 == 0)
		return;
	for (size_t i = from; i < to; i++) {
		if (c->kind != FILED)
			((volatile uint64_t *)page_of(c, i))[word] = 0;
		else if (pwrite(c->fd, &zero, sizeof(zero),
				(off_t)(i * c->stride + word * sizeof(zero))) < 0)
			fail("memcheck", "cannot write to a tmpfs");
	}
}

static void check_zero(struct memcheck *m, const struct chunk *c, size_t from, size_t to)
{
	size_t words = page_words();

	pages_break(m, c, from, to, BREAK_ZERO);
	for (size_t page = from; page < to; page++) {
		const uint64_t *found = page_of(c, page);

		for (size_t i = 0; i < words; i++)
			if (found[i])
				bad_page(c, found, i, 0);
	}
	m->checked += (to - from) * page_size();
}

static void check_pattern(struct memcheck *m, const struct chunk *c)
{
	size_t words = page_words();

	pages_break(m, c, 0, c->pages, BREAK_PATTERN);
	for (size_t page = 0; page < c->pages; page++) {
		const uint64_t *found = page_of(c, page);

		for (size_t i = 0; i < words; i++)
			if (found[i] != pattern(&found[i], c->salt))
				bad_page(c, found, i, 1);
	}
	m->checked += c->pages * page_size();
}

/* Checks that new pages are zero, and fills them with their pattern. */
static void pages_begin(struct memcheck *m, const struct chunk *c, size_t from, size_t to)
{
	size_t words = page_words();

	pages_fault(m, c, from, to);
	check_zero(m, c, from, to);
	for (size_t page = from; page < to; page++) {
		uint64_t *mem = page_of(c, page);

		for (size_t i = 0; i < words; i++)
			mem[i] = pattern(&mem[i], c->salt);
	}
}

/* --- chunks --------------------------------------------------------------------------------- */

static char *brk_to(uintptr_t end)
{
	return (char *)syscall(SYS_brk, end);
}

/* Takes memory that is aligned so that huge pages fit. */
static char *aligned_take(size_t size)
{
	char *mem = memory_take(size + HUGE, PAGES_THP);
	size_t head = -(uintptr_t)mem % HUGE;

	if (!mem)
		return NULL;
	if (head)
		munmap(mem, head);
	munmap(mem + head + size, HUGE - head);
	return mem + head;
}

/* Returns memory for the chunk's pages, of its kind, or NULL. */
static char *chunk_map(struct chunk *c, size_t size)
{
	char *mem;

	switch (c->kind) {
	case THP:
		return aligned_take(size);
	case SHARED:
	case FILED:
		c->fd = memfd_create("memcheck", MFD_CLOEXEC);
		if (c->fd < 0 || ftruncate(c->fd, (off_t)size))
			return NULL;
		mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
		return mem == MAP_FAILED ? NULL : mem;
	case SPARSE:
		return memory_take(c->pages * c->stride, PAGES_SMALL);
	case STACK:
		/* The stack grows when it is touched; the program's own frames are above. */
		mem = (char *)__builtin_frame_address(0) - STACK_OWN - size;
		return mem - (uintptr_t)mem % page_size();
	case BRK:
		mem = brk_to(0);
		mem += -(uintptr_t)mem % page_size();
		return brk_to((uintptr_t)mem + size) == mem + size ? mem : NULL;
	default:
		return memory_take(size, (enum page_kind)c->kind);
	}
}

/* Takes one chunk of at most `room` bytes. */
static void chunk_take(struct memcheck *m, size_t room)
{
	struct chunk *c = &m->chunks[m->count++];
	size_t size = m->sizes[random_next(m) % m->sizes_count];
	unsigned int one = 1u << STACK | 1u << BRK;

	c->kind = (enum kind)(random_next(m) % KINDS);
	if (m->only != KINDS)
		c->kind = m->only;
	if (m->busy & 1u << c->kind)
		c->kind = DEFAULT;
	m->busy |= 1u << c->kind & one;
	size = size < room ? size : room;
	if (c->kind == STACK && size > STACK_MAX)
		size = STACK_MAX;
	c->pages = size / page_size();
	c->stride = c->kind == SPARSE ? HUGE : page_size();
	c->salt = random_next(m);
	c->fd = -1;
	c->mem = chunk_map(c, c->pages * page_size());
	if (!c->mem)
		fail("memcheck", kind_names[c->kind]);
	m->used += c->pages * page_size();
	pages_begin(m, c, 0, c->pages);
}

/* Checks the chunk at `index` and frees it; the last one takes its place in the table. */
static void chunk_free(struct memcheck *m, size_t index)
{
	struct chunk *c = &m->chunks[index];

	check_pattern(m, c);
	if (c->kind == BRK)
		brk_to((uintptr_t)c->mem);
	else
		munmap(c->mem, c->pages * c->stride);
	if (c->fd >= 0)
		close(c->fd);
	m->busy &= ~(1u << c->kind);
	m->used -= c->pages * page_size();
	*c = m->chunks[--m->count];
}

/* Checks a chunk and drops a part of it: this splits huge pages and frees blocks in pieces. */
static void chunk_punch(struct memcheck *m, struct chunk *c)
{
	size_t from = random_next(m) % c->pages;
	size_t to = from + 1 + random_next(m) % (c->pages - from);

	check_pattern(m, c);
	if (madvise(c->mem + from * c->stride, (to - from) * c->stride,
		    c->fd < 0 ? MADV_DONTNEED : MADV_REMOVE))
		fail("memcheck", "cannot drop a part of a chunk");
	pages_begin(m, c, from, to);
}

static void memcheck_round(struct memcheck *m)
{
	while (m->size - m->used >= page_size())
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
			break; /* keep the chunk for another round */
		}
	}
}

/* Runs one process's part. Returns the number of bytes that it checked. */
static uint64_t memcheck_run(struct memcheck *m)
{
	uint64_t start = now_us();

	/* Not by malloc(), which would move the heap's end: a chunk of kind brk is there. */
	m->chunks = memory_take(m->size / page_size() * sizeof(*m->chunks), PAGES_SMALL);
	if (!m->chunks)
		fail("memcheck", "cannot map the table of chunks");
	for (unsigned long round = 1; round <= m->rounds || now_us() - start < m->time_us;
	     round++) {
		memcheck_round(m);
		printf("memcheck: round %lu %llu MiB checked\n", round,
		       (unsigned long long)(m->checked / MIB));
	}
	while (m->count > 0)
		chunk_free(m, m->count - 1);
	return m->checked;
}

/*
 * Waits for all processes. Returns whether each of them succeeded. Does not wait for other children, which memcheck
 * may have from the shell that executed it.
 */
static int processes_wait(const pid_t *pids, unsigned long count)
{
	int good = 1;
	int status;

	for (unsigned long i = 0; i < count; i++) {
		if (waitpid(pids[i], &status, 0) != pids[i])
			fail("memcheck", "cannot wait for a process");
		if (WIFSIGNALED(status))
			printf("memcheck: a process was killed by signal %d\n", WTERMSIG(status));
		good &= status == 0;
	}
	return good;
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {64 << 10, 1 << 20, 2 << 20, 5 << 20, 16 << 20};
	struct memcheck m = {.processes = 1, .only = KINDS, .seed = now_us() & 0xffffffff};
	uint64_t *checked =
		mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t sum = 0;
	pid_t pids[PROCESSES_MAX];

	setvbuf(stdout, NULL, _IOLBF, 0);
	memcheck_parse(&m, argc, argv);
	if (checked == MAP_FAILED)
		fail("memcheck", "cannot map memory");
	if (!m.sizes_count) {
		memcpy(m.sizes, sizes, sizeof(sizes));
		m.sizes_count = sizeof(sizes) / sizeof(sizes[0]);
	}
	for (unsigned int i = 0; i < m.sizes_count; i++)
		if (m.sizes[i] < page_size())
			usage();
	m.size = m.size / m.processes & ~(page_size() - 1);
	printf("memcheck: seed %lu\n", m.seed);
	for (unsigned long i = 0; i < m.processes; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			fail("memcheck", "cannot start a process");
		if (pids[i] == 0) {
			m.random = mix(m.seed + i);
			checked[i] = memcheck_run(&m);
			return 0;
		}
	}
	if (!processes_wait(pids, m.processes))
		return 1;
	for (unsigned long i = 0; i < m.processes; i++)
		sum += checked[i];
	printf("memcheck: ok %llu MiB checked\n", (unsigned long long)(sum / MIB));
	return 0;
}
