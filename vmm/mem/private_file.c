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
};

struct private_file {
	pthread_mutex_t lock; /* over the bits and the count, and while mappings change */
	size_t page_size;
	int advice; /* for anonymous memory: see backing.h */
	unsigned int mappings, mappings_max;
	_Atomic uint64_t zeroed; /* bytes in all */
	unsigned int parts;
	struct part part[RAM_REGIONS_MAX];
};

/* --- the bits: all under the lock ------------------------------------------------------------- */

static bool is_files(const struct part *part, uint64_t page)
{
	return part->is_files[page / 8] >> page % 8 & 1;
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

static void set(struct part *part, uint64_t page, uint64_t end, bool value)
{
	while (page < end) {
		uint8_t bit = (uint8_t)(1 << page % 8), *byte = &part->is_files[page / 8];
		*byte = value ? *byte | bit : *byte & (uint8_t)~bit;
		page++;
	}
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

/*
 * Returns how many mappings more there are once pages @page to @end are one anonymous one. The kernel joins it with one
 * of its neighbours, if that is anonymous; with both only if one of them was never touched.
 */
static int growth(const struct part *part, uint64_t page, uint64_t end)
{
	bool joins = (page > 0 && !is_files(part, page - 1)) ||
		     (end < part->pages && !is_files(part, end));
	int grown = joins ? 0 : 1;

	/* What is cut off stays. */
	if (page > 0 && is_files(part, page - 1) == is_files(part, page))
		grown++;
	if (end < part->pages && is_files(part, end) == is_files(part, end - 1))
		grown++;
	while (page < end) {
		page = same_up_to(part, page, end, is_files(part, page));
		grown--;
	}
	return grown;
}

/* --- discarding ------------------------------------------------------------------------------- */

/* The file's pages must be written to: only those that would not read as zero anyway. */
static uint64_t fill_zeros(const struct private_file *file, uint8_t *hva, uint64_t len)
{
	uint64_t zeroed = 0;

	for (uint64_t at = 0; at < len; at += file->page_size)
		if (!is_zero(hva + at, file->page_size)) {
			memset(hva + at, 0, file->page_size);
			zeroed += file->page_size;
		}
	return zeroed;
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

static int discard(struct private_file *file, struct part *part, uint64_t page, uint64_t end,
		   uint64_t *zeroed)
{
	int grown = growth(part, page, end);

	if (grown > 0 && file->mappings + (unsigned int)grown > file->mappings_max)
		return clear(file, part, page, end, zeroed);
	int error = backing_map_anonymous(part->hva + page * file->page_size,
					  (end - page) * file->page_size, file->advice);
	/* The guest can keep the kernel from joining mappings; this is the kernel's own bound. */
	if (error == -ENOMEM)
		return clear(file, part, page, end, zeroed);
	if (error)
		return error;
	set(part, page, end, false);
	file->mappings += (unsigned int)grown;
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

bool private_file_left(struct private_file *file, const void *hva, uint64_t len)
{
	uint64_t page, end;
	const struct part *part = find(file, hva, len, &page, &end);

	if (!part)
		return true;
	pthread_mutex_lock(&file->lock);
	bool left = same_up_to(part, page, end, false) == end;
	pthread_mutex_unlock(&file->lock);
	return left;
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
		set(part, page, page + pages, true);
		file->mappings += 2; /* itself, and what is after it */
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
				      NULL};
		part->is_files = calloc(1, part->pages / 8 + 1);
		if (!part->is_files) {
			private_file_free(file);
			return NULL;
		}
	}
	return file;
}

void private_file_free(struct private_file *file)
{
	if (!file)
		return;
	for (unsigned int i = 0; i < file->parts; i++)
		free(file->part[i].is_files);
	pthread_mutex_destroy(&file->lock);
	free(file);
}
