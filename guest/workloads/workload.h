/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of all workloads: sizes and times from the command line, the clock, memory with a chosen kind
 * of page. Each workload is a static program made of one file; everything here is inline.
 *
 * Units: sizes in bytes, times in microseconds of CLOCK_MONOTONIC, unless a name says otherwise.
 * A workload that fails prints the reason to stderr and exits with 2 for a wrong command line, 1 for any
 * other reason.
 */
#ifndef EBB_GUEST_WORKLOAD_H
#define EBB_GUEST_WORKLOAD_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

/* The kind of page to ask for: the system's choice, huge pages, or small ones. */
enum page_kind { PAGES_DEFAULT, PAGES_THP, PAGES_SMALL };

/* For getopt_long(): beyond any character, so that no short option exists. */
enum { OPT_THP = 256, OPT_NO_THP, OPT_OWN };

/* Prints errno's text and exits with 1. (Not every libc has program_invocation_short_name.) */
static inline void __attribute__((noreturn)) fail(const char *name, const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", name, what, strerror(errno));
	exit(1);
}

/* Parses "64K", "512M", "2G" or a number of bytes. Returns 0 or -EINVAL. */
static inline int size_parse(const char *text, size_t *bytes)
{
	static const char suffixes[] = "KMG";
	char *end = NULL;
	const char *suffix;
	unsigned int shift = 0;
	unsigned long long n;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (*end) {
		suffix = strchr(suffixes, *end & ~0x20);
		if (!suffix || end[1])
			return -EINVAL;
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
	}
	if (errno || n == 0 || n > (SIZE_MAX >> shift))
		return -EINVAL;
	*bytes = (size_t)n << shift;
	return 0;
}

/* Parses a count of at least `least`. Returns 0 or -EINVAL. */
static inline int count_parse(const char *text, unsigned long least, unsigned long *count)
{
	char *end = NULL;

	errno = 0;
	*count = strtoul(text, &end, 10);
	return errno || end == text || *end || *text == '-' || *count < least ? -EINVAL : 0;
}

/* Parses a decimal number of units of `unit_us` microseconds. Returns 0 or -EINVAL. */
static inline int time_parse(const char *text, double unit_us, uint64_t *us)
{
	char *end = NULL;
	double n = strtod(text, &end);

	if (end == text || *end || !(n >= 0) || n * unit_us > 1e15)
		return -EINVAL;
	*us = (uint64_t)(n * unit_us);
	return 0;
}

static inline uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static inline void sleep_us(uint64_t us)
{
	struct timespec t = {.tv_sec = (time_t)(us / 1000000),
			     .tv_nsec = (long)(us % 1000000) * 1000};

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static inline size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Returns new private memory, not yet touched, that the caller unmaps; or NULL with errno set. */
static inline void *memory_take(size_t size, enum page_kind kind)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		return NULL;
	/* Ignore errors: a kernel without transparent huge pages gives small ones. */
	if (kind == PAGES_THP)
		madvise(mem, size, MADV_HUGEPAGE);
	else if (kind == PAGES_SMALL)
		madvise(mem, size, MADV_NOHUGEPAGE);
	return mem;
}

/* Writes a byte other than zero to every page. */
static inline void memory_touch(void *mem, size_t size)
{
	volatile unsigned char *bytes = mem;
	size_t step = page_size();

	for (size_t at = 0; at < size; at += step)
		bytes[at] = 0xeb;
}

#endif
