// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/present.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm/mem/private_file.h"

/* Of an entry of pagemap: in memory, or in swap. */
#define ENTRY_HELD (1ULL << 63 | 1ULL << 62)
/* A page of a file: not a copy of one, which is anonymous. */
#define ENTRY_FILE (1ULL << 61)

/* Changes whether CAP_SYS_ADMIN is in the effective set. */
static bool change_admin(capng_act_t act)
{
	return capng_update(act, CAPNG_EFFECTIVE, CAP_SYS_ADMIN) == 0 &&
	       capng_apply(CAPNG_SELECT_CAPS) == 0;
}

int present_open(void)
{
	if (capng_get_caps_process() < 0)
		return -1;
	bool admin = capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
	if (admin && !change_admin(CAPNG_DROP))
		return -1;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (admin && !change_admin(CAPNG_ADD) && fd >= 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int read_entries(const struct ram *ram, uintptr_t hva, unsigned int pages,
			uint64_t entry[PRESENT_PAGES])
{
	ssize_t len = (ssize_t)(pages * sizeof(entry[0]));
	off_t at = (off_t)(hva / ram->page_size * sizeof(entry[0]));

	if (ram->pagemap < 0)
		return -ENOENT;
	if (lseek(ram->pagemap, at, SEEK_SET) < 0)
		return -errno;
	ssize_t got = read(ram->pagemap, entry, (size_t)len);
	return got == len ? 0 : got < 0 ? -errno : -EIO;
}

/*
 * Private memory: a page that is not in the page tables was never written, or was discarded; or it is a file's, and was
 * not touched yet.
 */
static int by_page_tables(const struct ram *ram, uintptr_t hva, unsigned int pages, bool *present)
{
	uint64_t entry[PRESENT_PAGES];

	int error = read_entries(ram, hva, pages, entry);
	if (error)
		return error;
	bool any_files = private_file_has(ram->private_file, (const void *)hva,
					  pages * (uint64_t)ram->page_size);
	for (unsigned int i = 0; i < pages; i++, hva += ram->page_size)
		present[i] = entry[i] & ENTRY_HELD ||
			     (any_files && private_file_has(ram->private_file, (const void *)hva,
							    ram->page_size));
	return 0;
}

/* Moves @cursor to the first data at or after @offset. */
static int find_data(const struct ram *ram, struct present_cursor *cursor, uint64_t offset)
{
	off_t data = lseek(ram->file, (off_t)offset, SEEK_DATA);

	if (data < 0 && errno == ENXIO) { /* nothing up to the end of the file */
		*cursor = (struct present_cursor){UINT64_MAX, UINT64_MAX};
		return 0;
	}
	off_t hole = data < 0 ? -1 : lseek(ram->file, data, SEEK_HOLE);
	if (hole < 0)
		return -errno;
	*cursor = (struct present_cursor){(uint64_t)data, (uint64_t)hole};
	return 0;
}

/* A file: what is no hole in it. Its pages need not be in this process's page tables. */
static int by_holes(const struct ram *ram, struct present_cursor *cursor, uint64_t offset,
		    unsigned int pages, bool *present)
{
	for (unsigned int i = 0; i < pages; i++, offset += ram->page_size) {
		int error = offset < cursor->hole ? 0 : find_data(ram, cursor, offset);
		if (error)
			return error;
		present[i] = offset >= cursor->data;
	}
	return 0;
}

/* Returns whether these are whole pages of @region, and not too many. */
static bool are_pages(const struct ram *ram, const struct ram_region *region, uint64_t offset,
		      unsigned int pages)
{
	return pages <= PRESENT_PAGES && offset % ram->page_size == 0 && offset <= region->size &&
	       pages * (uint64_t)ram->page_size <= region->size - offset;
}

int ram_present(const struct ram *ram, struct present_cursor *cursor,
		const struct ram_region *region, uint64_t offset, unsigned int pages,
		bool present[PRESENT_PAGES])
{
	if (!are_pages(ram, region, offset, pages))
		return -EINVAL;
	switch (ram->backing) {
	case RAM_ANON:
		return by_page_tables(ram, (uintptr_t)region->hva + offset, pages, present);
	case RAM_MEMFD:
		/* Its offsets are gpas: see backing.h. */
		return by_holes(ram, cursor, region->gpa + offset, pages, present);
	default:
		return -EOPNOTSUPP;
	}
}

bool ram_still_present(const struct ram *ram, const struct ram_region *region, uint64_t offset)
{
	off_t at = (off_t)(region->gpa + offset);

	return ram->backing != RAM_MEMFD || lseek(ram->file, at, SEEK_DATA) == at;
}

int ram_touched(const struct ram *ram, const struct ram_region *region, uint64_t offset,
		unsigned int pages, bool touched[PRESENT_PAGES])
{
	uint64_t entry[PRESENT_PAGES];
	uint8_t *hva = region->hva + offset;

	if (!are_pages(ram, region, offset, pages))
		return -EINVAL;
	memset(touched, 0, pages * sizeof(touched[0]));
	if (!private_file_has(ram->private_file, hva, pages * (uint64_t)ram->page_size))
		return 0;
	int error = read_entries(ram, (uintptr_t)hva, pages, entry);
	for (unsigned int i = 0; i < pages && !error; i++, hva += ram->page_size)
		touched[i] = entry[i] & ENTRY_HELD &&
			     private_file_has(ram->private_file, hva, ram->page_size);
	return error;
}

int ram_changed(const struct ram *ram, const struct ram_region *region, uint64_t offset,
		unsigned int pages, bool changed[PRESENT_PAGES])
{
	uint64_t entry[PRESENT_PAGES];
	bool is_files[PRESENT_PAGES];
	uint8_t *hva = region->hva + offset;

	if (!are_pages(ram, region, offset, pages))
		return -EINVAL;
	/* Of a large guest, most: that is known without the page tables. */
	if (!private_file_has(ram->private_file, hva, pages * (uint64_t)ram->page_size)) {
		memset(changed, true, pages * sizeof(changed[0]));
		return 0;
	}
	private_file_which(ram->private_file, hva, pages, is_files);
	int error = read_entries(ram, (uintptr_t)hva, pages, entry);
	for (unsigned int i = 0; i < pages && !error; i++) {
		bool copied = entry[i] & ENTRY_HELD && !(entry[i] & ENTRY_FILE);
		changed[i] = copied || !is_files[i];
	}
	return error;
}
