// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/private_file.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/lib/zero.h"
#include "vmm/mem/backing.h"

/* Linux's default, if there is no /proc. */
#define MAPPINGS_MAX 65530U

/* One region of RAM. */
struct part {
	uint8_t *hva;
	uint64_t gpa, pages;
	uint8_t *is_files; /* a bit for each page */
	uint8_t *begins;   /* likewise: a mapping may begin there, none elsewhere */
};

struct private_file {
	pthread_mutex_t lock; /* over the bits and the count, and while mappings change */
	size_t page_size;
	int advice;			     /* for anonymous memory: see backing.h */
	unsigned int mappings, mappings_max; /* bits of begins */
	_Atomic uint64_t zeroed;	     /* bytes in all */
	atomic_bool was_read;		     /* private_file_note_read() */
	unsigned int parts;
	struct part part[RAM_REGIONS_MAX];
};

/* --- the bits: all under the lock ------------------------------------------------------------- */

static bool get(const uint8_t *bits, uint64_t page)
{
	return bits[page / 8] >> page % 8 & 1;
}

static bool is_files(const struct part *part, uint64_t page)
{
	return get(part->is_files, page);
}

/* Returns the first page from @page on, before @end, for which is_files() is not @value; or @end. */
static uint64_t same_up_to(const struct part *part, uint64_t page, uint64_t end, bool value)
{
	const uint8_t whole = value ? 0xff : 0;

	while (page < end) {
		if (page % 8 == 0 && end - page >= 8 && part->is_files[page / 8] == whole)
			page += 8;
		else if (is_files(part, page) == value)
			page++;
		else
			break;
	}
	return page;
}

/* Leaves bytes alone that stay as they are: they may not be in memory. */
static void set(uint8_t *bits, uint64_t page, uint64_t end, bool value)
{
	const uint8_t whole = value ? 0xff : 0;

	while (page < end) {
		bool all = page % 8 == 0 && end - page >= 8;
		uint8_t bit = all ? 0xff : (uint8_t)(1 << page % 8), *byte = &bits[page / 8];
		if ((*byte & bit) != (whole & bit))
			*byte = (uint8_t)((*byte & ~bit) | (whole & bit));
		page += all ? 8 : 1;
	}
}

static unsigned int count(const uint8_t *bits, uint64_t page, uint64_t end)
{
	unsigned int found = 0;

	while (page < end) {
		bool all = page % 8 == 0 && end - page >= 8;
		found += all ? (unsigned int)__builtin_popcount(bits[page / 8]) : get(bits, page);
		page += all ? 8 : 1;
	}
	return found;
}

/* Returns the part that has all of @len bytes at @hva, and sets the pages they are; or NULL. */
static struct part *find(struct private_file *file, const void *hva, uint64_t len, uint64_t *page,
			 uint64_t *end)
{
	for (unsigned int i = 0; i < file->parts; i++) {
		struct part *part = &file->part[i];
		uint64_t offset = (uintptr_t)hva - (uintptr_t)part->hva;
		uint64_t size = part->pages * file->page_size;
		if (offset >= size || len > size - offset)
			continue;
		*page = offset / file->page_size;
		*end = *page + len / file->page_size;
		return part;
	}
	return NULL;
}

/* Where mappings may begin once pages @page to @end are one: there, and behind it. */
struct cut {
	bool page, end;
};

static unsigned int bits_of(struct cut cut)
{
	return (unsigned int)cut.page + (unsigned int)cut.end;
}

/*
 * Pages @page to @end are to become one anonymous mapping. The kernel joins it with the one before it, if that is
 * anonymous; else with the one behind it. With both only if one of them was never touched, which is not known here.
 */
static struct cut cut_anonymous(const struct part *part, uint64_t page, uint64_t end)
{
	bool before = page > 0 && !is_files(part, page - 1);
	bool after = end < part->pages && !is_files(part, end);

	return (struct cut){!before, end < part->pages && (before || !after)};
}

/* Returns how many of these mappings begin in pages @page to @end, or right behind. */
static unsigned int mappings_in(const struct part *part, uint64_t page, uint64_t end)
{
	return count(part->begins, page, end < part->pages ? end + 1 : end);
}

static void replaced(struct private_file *file, struct part *part, uint64_t page, uint64_t end,
		     struct cut cut)
{
	file->mappings -= mappings_in(part, page, end);
	file->mappings += bits_of(cut);
	set(part->begins, page, end, false);
	set(part->begins, page, page + 1, cut.page);
	if (end < part->pages)
		set(part->begins, end, end + 1, cut.end);
}

/* --- discarding ------------------------------------------------------------------------------- */

/*
 * The file's pages must be written to: only those that would not read as zero anyway. All of them stay in the host's
 * memory, those that were shared with others as copies of this guest now.
 */
static uint64_t fill_zeros(const struct private_file *file, uint8_t *hva, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += file->page_size)
		if (!is_zero(hva + at, file->page_size))
			memset(hva + at, 0, file->page_size);
	return len;
}

static int clear(const struct private_file *file, const struct part *part, uint64_t page,
		 uint64_t end, uint64_t *zeroed)
{
	int error = 0;

	while (page < end && !error) {
		bool files = is_files(part, page);
		uint64_t next = same_up_to(part, page, end, files);
		uint8_t *hva = part->hva + page * file->page_size;
		uint64_t len = (next - page) * file->page_size;
		if (files)
			*zeroed += fill_zeros(file, hva, len);
		else if (madvise(hva, len, MADV_DONTNEED) < 0)
			error = -errno;
		page = next;
	}
	return error;
}

/* madvise(2) fails where nothing is mapped. All of RAM has this advice already: it changes nothing. */
static bool is_mapped(void *hva, uint64_t len)
{
	return madvise(hva, len, MADV_DONTFORK) == 0;
}

static int discard(struct private_file *file, struct part *part, uint64_t page, uint64_t end,
		   uint64_t *zeroed)
{
	struct cut cut = cut_anonymous(part, page, end);
	unsigned int fewer = mappings_in(part, page, end), more = bits_of(cut);

	/* Another thread may have discarded all of it. */
	if (same_up_to(part, page, end, false) == end)
		return clear(file, part, page, end, zeroed);
	if (more > fewer && file->mappings - fewer + more > file->mappings_max)
		return clear(file, part, page, end, zeroed);
	uint8_t *hva = part->hva + page * file->page_size;
	uint64_t len = (end - page) * file->page_size;
	int error = backing_map_anonymous(hva, len, file->advice);
	/* Short of memory, the kernel may have unmapped what was there already. */
	if (error == -ENOMEM)
		error = backing_map_anonymous(hva, len, file->advice);
	/* The guest can keep the kernel from joining mappings; this is the kernel's own bound. */
	if (error == -ENOMEM && is_mapped(hva, len))
		return clear(file, part, page, end, zeroed);
	/* Else the memory ends the guest if it is used: zeros in place of it are not to be had. */
	if (error)
		return error;
	replaced(file, part, page, end, cut);
	set(part->is_files, page, end, false);
	return 0;
}

int private_file_discard(struct private_file *file, void *hva, uint64_t len, uint64_t *zeroed)
{
	uint64_t page, end;
	struct part *part = find(file, hva, len, &page, &end);

	if (!part || page == end)
		return -EINVAL;
	uint64_t before = *zeroed;
	pthread_mutex_lock(&file->lock);
	int error = discard(file, part, page, end, zeroed);
	atomic_fetch_add(&file->zeroed, *zeroed - before);
	pthread_mutex_unlock(&file->lock);
	return error;
}

uint64_t private_file_zeroed(const struct private_file *file)
{
	return atomic_load(&file->zeroed);
}

bool private_file_has(struct private_file *file, const void *hva, uint64_t len)
{
	uint64_t page, end;
	const struct part *part = file ? find(file, hva, len, &page, &end) : NULL;

	if (!part)
		return false;
	pthread_mutex_lock(&file->lock);
	bool has = same_up_to(part, page, end, false) < end;
	pthread_mutex_unlock(&file->lock);
	return has;
}

void private_file_which(struct private_file *file, const void *hva, unsigned int pages,
			bool which[])
{
	uint64_t page, end;
	const struct part *part =
		file ? find(file, hva, pages * (uint64_t)file->page_size, &page, &end) : NULL;

	if (!part) {
		memset(which, 0, pages * sizeof(which[0]));
		return;
	}
	pthread_mutex_lock(&file->lock);
	for (unsigned int i = 0; i < pages; i++)
		which[i] = is_files(part, page + i);
	pthread_mutex_unlock(&file->lock);
}

void private_file_note_read(struct private_file *file)
{
	if (file)
		atomic_store(&file->was_read, true);
}

bool private_file_was_read(const struct private_file *file)
{
	return atomic_load(&file->was_read);
}

bool private_file_is_full(struct private_file *file)
{
	if (!file)
		return false;
	pthread_mutex_lock(&file->lock);
	bool full = file->mappings >= file->mappings_max;
	pthread_mutex_unlock(&file->lock);
	return full;
}

void private_file_limit(struct private_file *file, unsigned int mappings)
{
	file->mappings_max = mappings;
}

/* --- made and mapped -------------------------------------------------------------------------- */

int private_file_map(struct private_file *file, const struct gpa_range *run, int fd,
		     uint64_t offset)
{
	for (unsigned int i = 0; i < file->parts; i++) {
		struct part *part = &file->part[i];
		uint64_t page = (run->gpa - part->gpa) / file->page_size;
		uint64_t pages = run->len / file->page_size;
		if (run->gpa < part->gpa || page >= part->pages || pages > part->pages - page)
			continue;
		int error = backing_map_private(part->hva + page * file->page_size, run->len, fd,
						offset);
		if (error)
			return error;
		replaced(file, part, page, page + pages,
			 (struct cut){true, page + pages < part->pages});
		set(part->is_files, page, page + pages, true);
		return 0;
	}
	return -EINVAL;
}

/* Half of what the process may have: the rest is for all else. */
static unsigned int mappings_max(void)
{
	unsigned int max = MAPPINGS_MAX;
	FILE *setting = fopen("/proc/sys/vm/max_map_count", "re");

	if (setting && fscanf(setting, "%u", &max) != 1)
		max = MAPPINGS_MAX;
	if (setting)
		fclose(setting);
	return max / 2;
}

struct private_file *private_file_new(const struct ram *ram)
{
	struct private_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	pthread_mutex_init(&file->lock, NULL);
	file->page_size = ram->page_size;
	file->advice = backing_advice();
	file->mappings = ram->regions;
	file->mappings_max = mappings_max();
	for (unsigned int i = 0; i < ram->regions; i++) {
		const struct ram_region *region = &ram->region[i];
		struct part *part = &file->part[file->parts++];
		*part = (struct part){region->hva, region->gpa, region->size / ram->page_size,
				      calloc(1, region->size / ram->page_size / 8 + 1),
				      calloc(1, region->size / ram->page_size / 8 + 1)};
		if (!part->is_files || !part->begins) {
			private_file_free(file);
			return NULL;
		}
		set(part->begins, 0, 1, true);
	}
	return file;
}

void private_file_free(struct private_file *file)
{
	if (!file)
		return;
	for (unsigned int i = 0; i < file->parts; i++) {
		free(file->part[i].is_files);
		free(file->part[i].begins);
	}
	pthread_mutex_destroy(&file->lock);
	free(file);
}
