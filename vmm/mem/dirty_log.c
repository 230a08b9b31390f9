// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/dirty_log.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BITS 64U

struct dirty_log {
	atomic_bool on;
	unsigned int regions;
	size_t words[RAM_REGIONS_MAX];
	_Atomic uint64_t *word[RAM_REGIONS_MAX];
};

/* Of pages that nobody else uses: calloc(3) writes to what it takes from the end of the heap. */
static _Atomic uint64_t *map_words(size_t n)
{
	void *word = mmap(NULL, n * sizeof(uint64_t), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return word == MAP_FAILED ? NULL : word;
}

struct dirty_log *dirty_log_new(const struct ram *ram)
{
	struct dirty_log *log = calloc(1, sizeof(*log));

	for (unsigned int i = 0; log && i < ram->regions; i++) {
		log->words[i] = dirty_log_words(ram, &ram->region[i]);
		log->word[i] = map_words(log->words[i]);
		if (!log->word[i]) {
			dirty_log_free(log);
			return NULL;
		}
		log->regions++;
	}
	return log;
}

void dirty_log_free(struct dirty_log *log)
{
	for (unsigned int i = 0; log && i < log->regions; i++)
		munmap((void *)log->word[i], log->words[i] * sizeof(uint64_t));
	free(log);
}

/*
 * A writer writes to RAM, then reads `on`; who switches it on writes that, then reads RAM: with a full barrier between, on both
 * sides, one of them sees what the other wrote. Writers share `on` only to read it: they are all devices' threads.
 * (gcc refuses C11's name of that barrier under ThreadSanitizer.)
 */
void dirty_log_switch(struct dirty_log *log, bool on)
{
	atomic_store_explicit(&log->on, on, memory_order_relaxed);
	__sync_synchronize();
	/* What is left of this time. */
	for (unsigned int i = 0; !on && i < log->regions; i++)
		madvise((void *)log->word[i], log->words[i] * sizeof(uint64_t), MADV_DONTNEED);
}

static bool is_on(struct dirty_log *log)
{
	__sync_synchronize();
	return log && atomic_load_explicit(&log->on, memory_order_relaxed);
}

void dirty_log_take(struct dirty_log *log, unsigned int region, uint64_t *bits)
{
	for (size_t w = 0; w < log->words[region]; w++)
		if (atomic_load(&log->word[region][w]))
			bits[w] |= atomic_exchange(&log->word[region][w], 0);
}

static void set(_Atomic uint64_t *word, uint64_t page, uint64_t end)
{
	while (page < end) {
		uint64_t first = page % BITS;
		uint64_t n = end - page < BITS - first ? end - page : BITS - first;
		atomic_fetch_or(&word[page / BITS], UINT64_MAX >> (BITS - n) << first);
		page += n;
	}
}

/* Out of line: while nobody asks, a device's thread saves no registers for it. */
__attribute__((noinline)) static void note(const struct ram *ram, const void *hva, uint64_t len)
{
	for (unsigned int i = 0; i < ram->regions && len > 0; i++) {
		uint64_t offset = (uintptr_t)hva - (uintptr_t)ram->region[i].hva;
		if (offset >= ram->region[i].size || len > ram->region[i].size - offset)
			continue;
		set(ram->dirty->word[i], offset / ram->page_size,
		    (offset + len - 1) / ram->page_size + 1);
	}
}

void ram_wrote(const struct ram *ram, const void *hva, uint64_t len)
{
	if (is_on(ram->dirty))
		note(ram, hva, len);
}

__attribute__((noinline)) static void note_iov(const struct ram *ram, const struct iovec *iov,
					       unsigned int n, uint64_t len)
{
	for (unsigned int i = 0; i < n && len > 0; i++) {
		uint64_t part = len < iov[i].iov_len ? len : iov[i].iov_len;
		note(ram, iov[i].iov_base, part);
		len -= part;
	}
}

void ram_wrote_iov(const struct ram *ram, const struct iovec *iov, unsigned int n, uint64_t len)
{
	if (is_on(ram->dirty))
		note_iov(ram, iov, n, len);
}
