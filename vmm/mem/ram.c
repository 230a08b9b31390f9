// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/mem/gate.h"
#include "vmm/util/log.h"

#define HUGE_PAGE (2ULL << 20)
/* Never accessible: what runs off a region's end faults instead of finding something else. */
#define GUARD HUGE_PAGE
/* No architecture has longer physical addresses; below this no sum of a few of them can wrap. */
#define GPA_END (1ULL << 56)

static uint64_t align_up(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

static bool spans_valid(const struct gpa_range *span, unsigned int spans, size_t page_size)
{
	if (spans == 0 || spans > RAM_REGIONS_MAX)
		return false;
	for (unsigned int i = 0; i < spans; i++) {
		if (span[i].len == 0 || span[i].gpa % page_size || span[i].len % page_size)
			return false;
		if (span[i].gpa >= GPA_END || span[i].len > GPA_END - span[i].gpa)
			return false;
		if (i > 0 && span[i].gpa <= span[i - 1].gpa + span[i - 1].len)
			return false;
	}
	return true;
}

/* vm.overcommit_memory 2: the host promises every writable page at once, MAP_NORESERVE or not. */
static bool overcommit_forbidden(void)
{
	char mode = 0;
	int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool forbidden = read(fd, &mode, 1) == 1 && mode == '2';
	close(fd);
	return forbidden;
}

static bool limited(int resource)
{
	struct rlimit limit;
	return getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

/*
 * Says which setting is in the way. A reservation takes address space only; what is @writable also
 * counts as data and, where the host does not overcommit, as memory.
 */
static void explain(uint64_t size, bool writable, int error)
{
	const char *why = strerror(error);

	if (error == ENOMEM || error == EAGAIN) {
		if (writable && overcommit_forbidden())
			why = "the host must not overcommit (vm.overcommit_memory is 2); "
			      "set that to 0 or 1, or give the guest less";
		else if (writable && limited(RLIMIT_DATA))
			why = "the limit RLIMIT_DATA is too low; raise it with 'ulimit -d'";
		else if (limited(RLIMIT_AS))
			why = "the limit RLIMIT_AS is too low; raise it with 'ulimit -v'";
		else
			why = "the host's address space is too small for it; give the guest less";
	}
	log_error("cannot map %llu MiB of guest RAM: %s", (unsigned long long)(size >> 20), why);
}

/* Makes @size bytes of the reservation, at @hva, into RAM. */
static int region_map(void *hva, uint64_t size)
{
	void *at = mmap(hva, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	/* Both are wishes: a kernel without huge pages, or that dumps all, still runs the guest. */
	madvise(hva, size, MADV_HUGEPAGE);
	madvise(hva, size, MADV_DONTDUMP);
	return 0;
}

int ram_init(struct ram *ram, const struct gpa_range *span, unsigned int spans)
{
	int ret = 0;

	*ram = (struct ram){.page_size = sysconf(_SC_PAGESIZE)};
	if (!spans_valid(span, spans, ram->page_size)) {
		log_error("guest RAM must be 1 to %d whole-page stretches, ascending and apart",
			  RAM_REGIONS_MAX);
		return -EINVAL;
	}

	uint64_t total = 0;
	for (unsigned int i = 0; i < spans; i++)
		total += span[i].len;
	/* A region takes a guard, up to a huge page to align, and its offset in a huge page. */
	ram->map_size = total + spans * (GUARD + 2 * HUGE_PAGE) + GUARD;
	ram->map = mmap(NULL, ram->map_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0);
	if (ram->map == MAP_FAILED) {
		ret = -errno;
		ram->map = NULL;
		explain(total, false, -ret);
		goto out;
	}

	uint8_t *next = ram->map;
	for (unsigned int i = 0; i < spans; i++) {
		uintptr_t block = align_up((uintptr_t)next + GUARD, HUGE_PAGE);
		uint8_t *hva = (uint8_t *)(block + span[i].gpa % HUGE_PAGE);
		ret = region_map(hva, span[i].len);
		if (ret) {
			explain(total, true, -ret);
			goto out;
		}
		ram->region[i] = (struct ram_region){span[i].gpa, span[i].len, hva};
		ram->regions = i + 1;
		next = hva + span[i].len;
	}
	ram->gate = gate_new();
	if (!ram->gate) {
		log_error("no memory is left for guest RAM's own bookkeeping");
		ret = -ENOMEM;
	}
out:
	if (ret)
		ram_release(ram);
	return ret;
}

void ram_release(struct ram *ram)
{
	if (ram->map)
		munmap(ram->map, ram->map_size);
	gate_free(ram->gate);
	*ram = (struct ram){0};
}

void *ram_at(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	if (len == 0)
		return NULL;
	for (unsigned int i = 0; i < ram->regions; i++) {
		const struct ram_region *region = &ram->region[i];
		/* Below the region this wraps to something larger than any size. */
		uint64_t offset = gpa - region->gpa;
		if (offset < region->size && len <= region->size - offset)
			return region->hva + offset;
	}
	return NULL;
}

int ram_read(const struct ram *ram, uint64_t gpa, void *data, size_t len)
{
	const void *from = ram_at(ram, gpa, len);
	if (!from)
		return -EFAULT;
	memcpy(data, from, len);
	/* What was copied is what is checked: the compiler may not read the guest's memory again.
	 */
	__asm__ volatile("" ::: "memory");
	return 0;
}

int ram_write(const struct ram *ram, uint64_t gpa, const void *data, size_t len)
{
	void *to = ram_at(ram, gpa, len);
	if (!to)
		return -EFAULT;
	memcpy(to, data, len);
	return 0;
}

uint64_t ram_size(const struct ram *ram)
{
	uint64_t size = 0;
	for (unsigned int i = 0; i < ram->regions; i++)
		size += ram->region[i].size;
	return size;
}
