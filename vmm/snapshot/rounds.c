// SPDX-License-Identifier: Apache-2.0
#include "vmm/snapshot/rounds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/lib/zero.h"
#include "vmm/mem/dirty_log.h"
#include "vmm/mem/present.h"

#define BITS	    64U
#define BLOCK_WORDS (PRESENT_PAGES / BITS)

struct rounds {
	const struct ram *ram;
	struct snapshot_writer *writer;
	uint64_t *next[RAM_REGIONS_MAX];  /* to be sent */
	uint64_t *there[RAM_REGIONS_MAX]; /* the reader has something else there than zeros */
	struct present_cursor cursor;
	bool present[PRESENT_PAGES];
	/* Neighbours that are sent together. */
	struct gpa_range data, zeros;
	uint8_t copy[SNAPSHOT_WRITTEN_MAX * SNAPSHOT_PAGE];
};

static size_t words(const struct rounds *rounds, unsigned int region)
{
	return dirty_log_words(rounds->ram, &rounds->ram->region[region]);
}

static bool all_are_next(struct rounds *rounds, unsigned int i)
{
	uint64_t pages = rounds->ram->region[i].size / SNAPSHOT_PAGE;

	rounds->next[i] = calloc(words(rounds, i), sizeof(uint64_t));
	rounds->there[i] = calloc(words(rounds, i), sizeof(uint64_t));
	if (!rounds->next[i] || !rounds->there[i])
		return false;
	memset(rounds->next[i], 0xff, words(rounds, i) * sizeof(uint64_t));
	if (pages % BITS)
		rounds->next[i][pages / BITS] = (1ULL << pages % BITS) - 1;
	return true;
}

int rounds_new(struct rounds **rounds, const struct ram *ram, struct snapshot_writer *writer)
{
	*rounds = NULL;
	/* A bit of the logs is a page of RAM. */
	if (ram->page_size != SNAPSHOT_PAGE)
		return -EOPNOTSUPP;
	struct rounds *made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->ram = ram;
	made->writer = writer;
	for (unsigned int i = 0; i < ram->regions; i++)
		if (!all_are_next(made, i)) {
			rounds_free(made);
			return -ENOMEM;
		}
	*rounds = made;
	return 0;
}

void rounds_free(struct rounds *rounds)
{
	for (unsigned int i = 0; rounds && i < rounds->ram->regions; i++) {
		free(rounds->next[i]);
		free(rounds->there[i]);
	}
	free(rounds);
}

uint64_t *rounds_next(struct rounds *rounds, unsigned int region)
{
	return rounds->next[region];
}

/* --- a round ------------------------------------------------------------------------------------- */

/* Writes what is held of @range, whose contents are @data, or NULL if it is zeros. */
static int flush(struct rounds *rounds, struct gpa_range *range, const void *data)
{
	int error = range->len ? snapshot_written_write(rounds->writer, range->gpa,
							range->len / SNAPSHOT_PAGE, data)
			       : 0;

	range->len = 0;
	return error;
}

static bool follows(const struct gpa_range *range, uint64_t gpa)
{
	return range->len && range->gpa + range->len == gpa;
}

static int send_data(struct rounds *rounds, uint64_t gpa, const uint8_t *page)
{
	struct gpa_range *data = &rounds->data;
	int error = 0;

	if (!follows(data, gpa) || data->len == sizeof(rounds->copy))
		error = flush(rounds, data, rounds->copy);
	if (!data->len)
		data->gpa = gpa;
	memcpy(rounds->copy + data->len, page, SNAPSHOT_PAGE);
	data->len += SNAPSHOT_PAGE;
	return error;
}

static int send_zeros(struct rounds *rounds, uint64_t gpa)
{
	struct gpa_range *zeros = &rounds->zeros;
	int error = follows(zeros, gpa) ? 0 : flush(rounds, zeros, NULL);

	if (!zeros->len)
		zeros->gpa = gpa;
	zeros->len += SNAPSHOT_PAGE;
	return error;
}

/* Copies, then looks at the copy: others write meanwhile. A page that is not @present is not touched. */
static int send_page(struct rounds *rounds, unsigned int i, uint64_t page, bool present)
{
	const struct ram_region *region = &rounds->ram->region[i];
	uint64_t *there = &rounds->there[i][page / BITS], bit = 1ULL << page % BITS;
	uint64_t offset = page * SNAPSHOT_PAGE;
	uint8_t copy[SNAPSHOT_PAGE];

	present = present && ram_still_present(rounds->ram, region, offset);
	if (present) {
		memcpy(copy, region->hva + offset, sizeof(copy));
		__asm__ volatile("" ::: "memory");
		present = !is_zero(copy, sizeof(copy));
	}
	if (present) {
		*there |= bit;
		return send_data(rounds, region->gpa + offset, copy);
	}
	if (!(*there & bit))
		return 0;
	*there &= ~bit;
	return send_zeros(rounds, region->gpa + offset);
}

static bool is_empty(const uint64_t *word, size_t n)
{
	for (size_t w = 0; w < n; w++)
		if (word[w])
			return false;
	return true;
}

/* Sets rounds->present for the block at the word @from. Returns 0 or -errno. */
static int look_at(struct rounds *rounds, unsigned int i, size_t from)
{
	const struct ram_region *region = &rounds->ram->region[i];
	uint64_t first = from * BITS, left = region->size / SNAPSHOT_PAGE - first;

	return ram_present(rounds->ram, &rounds->cursor, region, first * SNAPSHOT_PAGE,
			   left < PRESENT_PAGES ? (unsigned int)left : PRESENT_PAGES,
			   rounds->present);
}

/* Sends the pages of @n words, at most a block's, from the word @from on. */
static int send_block(struct rounds *rounds, unsigned int i, size_t from, size_t n)
{
	uint64_t *word = &rounds->next[i][from];

	int error = is_empty(word, n) ? 0 : look_at(rounds, i, from);
	for (size_t w = 0; w < n && !error; w++)
		while (word[w] && !error) {
			uint64_t page = w * BITS + (unsigned int)__builtin_ctzll(word[w]);
			word[w] &= word[w] - 1;
			error = send_page(rounds, i, from * BITS + page, rounds->present[page]);
		}
	return error;
}

static uint64_t left_in_block(struct rounds *rounds, unsigned int i, size_t from, size_t n)
{
	const uint64_t *word = &rounds->next[i][from];
	uint64_t pages = 0;

	if (is_empty(word, n))
		return 0;
	bool all = look_at(rounds, i, from) != 0;
	for (unsigned int page = 0; page < n * BITS; page++)
		pages += word[page / BITS] >> page % BITS & 1 && (all || rounds->present[page]);
	return pages;
}

/* Words of the block at the word @from, of @n in all. */
static size_t block(size_t from, size_t n)
{
	return n - from < BLOCK_WORDS ? n - from : BLOCK_WORDS;
}

uint64_t rounds_left(struct rounds *rounds)
{
	uint64_t pages = 0;

	for (unsigned int i = 0; i < rounds->ram->regions; i++) {
		size_t n = words(rounds, i);
		rounds->cursor = (struct present_cursor){0};
		for (size_t from = 0; from < n; from += BLOCK_WORDS)
			pages += left_in_block(rounds, i, from, block(from, n));
	}
	return pages;
}

static int flush_both(struct rounds *rounds)
{
	int error = flush(rounds, &rounds->data, rounds->copy);
	return error ? error : flush(rounds, &rounds->zeros, NULL);
}

int rounds_send(struct rounds *rounds, bool (*goes_on)(void *ctx), void *ctx)
{
	int error = 0;

	for (unsigned int i = 0; i < rounds->ram->regions && !error; i++) {
		size_t n = words(rounds, i);
		rounds->cursor = (struct present_cursor){0};
		for (size_t from = 0; from < n && !error; from += BLOCK_WORDS) {
			error = goes_on(ctx) ? send_block(rounds, i, from, block(from, n))
					     : -ECANCELED;
		}
		/* The next region may begin where this one ends: a section is of one. */
		if (!error)
			error = flush_both(rounds);
	}
	return error;
}
