// SPDX-License-Identifier: Apache-2.0
#include "devices/virtio-pmem/region.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/log.h"

static uint64_t align_up(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

static int explain_open(const struct pmem_region *region, int error)
{
	bool forbidden = error == EACCES || error == EROFS || error == EPERM;
	log_error("cannot open '%s' for --pmem: %s%s", region->file, strerror(error),
		  forbidden && !region->read_only ? "; to read it only, write FILE,ro" : "");
	return -error;
}

static int open_file(struct pmem_region *region)
{
	struct stat st;
	int flags = O_CLOEXEC | O_NONBLOCK | (region->read_only ? O_RDONLY : O_RDWR);

	/* Before opening: to open a pipe or a device can have side effects. */
	if (stat(region->file, &st) < 0)
		return explain_open(region, errno);
	if (S_ISREG(st.st_mode)) {
		region->fd = open(region->file, flags);
		if (region->fd < 0 || fstat(region->fd, &st) < 0)
			return explain_open(region, errno);
	}
	if (!S_ISREG(st.st_mode)) {
		log_error("'%s' is not a regular file, which --pmem needs: for a block device "
			  "write -d %s",
			  region->file, region->file);
		return -EINVAL;
	}
	region->file_size = (uint64_t)st.st_size;
	return 0;
}

static int check_size(const struct pmem_region *region)
{
	if (region->file_size == 0) {
		log_error("the file '%s' for --pmem is empty: set its size first, for example with "
			  "truncate -s 1G",
			  region->file);
		return -EINVAL;
	}
	if (!region->read_only && region->file_size % PMEM_ALIGN) {
		log_error(
			"'%s' has %llu bytes, but writable memory by --pmem comes in multiples of 2 MiB: "
			"extend it with truncate -s %%2M, or write FILE,ro",
			region->file, (unsigned long long)region->file_size);
		return -EINVAL;
	}
	return 0;
}

int pmem_region_open(struct pmem_region *region, const char *file, bool read_only)
{
	*region = (struct pmem_region){.file = file, .fd = -1, .read_only = read_only};
	int error = open_file(region);
	if (!error)
		error = check_size(region);
	if (error)
		return error;
	region->size = align_up(region->file_size, PMEM_ALIGN);
	return 0;
}

static int explain_map(const struct pmem_region *region, int error)
{
	log_error("cannot map '%s' for --pmem (%llu MiB): %s", region->file,
		  (unsigned long long)region->size >> 20, strerror(error));
	return -error;
}

/* The rest of the last 2 MiB, beyond the file's last page: zeros that belong to this guest. */
static int map_rest(const struct pmem_region *region)
{
	uint64_t end = align_up(region->file_size, (uint64_t)sysconf(_SC_PAGESIZE));

	if (end >= region->size)
		return 0;
	void *rest = mmap(region->hva + end, region->size - end, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	return rest == MAP_FAILED ? -errno : 0;
}

int pmem_region_map(struct pmem_region *region)
{
	int flags = MAP_FIXED | MAP_NORESERVE | (region->read_only ? MAP_PRIVATE : MAP_SHARED);

	/* Room for a guard, which is never accessible, before and behind. */
	region->map_size = region->size + 3 * PMEM_ALIGN;
	region->map = mmap(NULL, region->map_size, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region->map == MAP_FAILED) {
		region->map = NULL;
		return explain_map(region, errno);
	}
	region->hva = (uint8_t *)align_up((uintptr_t)region->map + PMEM_ALIGN, PMEM_ALIGN);
	if (mmap(region->hva, region->file_size, PROT_READ | PROT_WRITE, flags, region->fd, 0) ==
	    MAP_FAILED)
		return explain_map(region, errno);
	int error = map_rest(region);
	if (error)
		return explain_map(region, -error);
	/* Not in a core dump of ebb; and a child process would keep the copies of private pages. */
	madvise(region->hva, region->size, MADV_DONTDUMP);
	madvise(region->hva, region->size, MADV_DONTFORK);
	snprintf(region->why, sizeof(region->why),
		 "ebb: the host has no page of '%.128s' (--pmem): the file became shorter, or its "
		 "storage failed\n",
		 region->file);
	region->fatal = (struct fatal_memory){region->map, region->map_size, region->why, NULL};
	fatal_memory_add(&region->fatal);
	return 0;
}

void pmem_region_close(struct pmem_region *region)
{
	if (!region->file)
		return;
	fatal_memory_remove(&region->fatal);
	if (region->map)
		munmap(region->map, region->map_size);
	if (region->fd >= 0)
		close(region->fd);
	*region = (struct pmem_region){.fd = -1};
}

bool pmem_region_is_shorter(const struct pmem_region *region)
{
	struct stat st;
	return fstat(region->fd, &st) == 0 && (uint64_t)st.st_size < region->file_size;
}
