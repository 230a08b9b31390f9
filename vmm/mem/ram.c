// SPDX-License-Identifier: Apache-2.0
#include "vmm/mem/ram.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "vmm/mem/backing.h"
#include "vmm/mem/private_file.h"
#include "vmm/mem/reservation.h"
#include "vmm/mem/provision.h"
#include "vmm/mem/discard.h"
#include "vmm/mem/discard_gate.h"
#include "vmm/mem/dirty_log.h"
#include "vmm/mem/torn.h"
#include "vmm/mem/usage.h"
#include "vmm/lib/log.h"

#define HUGE_PAGE (2ULL << 20)
/* Never accessible: an access beyond a region's end faults. */
#define GUARD HUGE_PAGE
/* From 1 TiB on, 64 TiB: with 47 bits of addresses, programs lie at 85 TiB or above. */
#define PLACE_LOWEST (1ULL << 40)
#define PLACES	     ((64ULL << 40) / HUGE_PAGE)
/* No architecture has longer physical addresses, and no sum of a few of these can wrap. */
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

/*
 * Returns an address to ask for: random, so that a guest cannot guess where its RAM is, and below
 * the program and its libraries, so that /proc/self/smaps begins with RAM (see usage.h). The kernel
 * chooses another if the address is taken or beyond the processor's reach.
 */
static void *random_place(void)
{
	uint64_t random;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return NULL;
	return (void *)(uintptr_t)(PLACE_LOWEST + random % PLACES * HUGE_PAGE);
}

/* Maps the regions one after another in one range, with guards before, between and after them. */
static int regions_map(struct ram *ram, const struct gpa_range *span, unsigned int spans)
{
	uint64_t align = ram->page_size > HUGE_PAGE ? ram->page_size : HUGE_PAGE;
	uint64_t total = 0, mapped = 0;

	for (unsigned int i = 0; i < spans; i++)
		total += span[i].len;
	/* Each region needs a guard, up to @align to align it, and its offset in a page. */
	ram->map_size = total + spans * (GUARD + 2 * align) + GUARD;
	ram->map = mmap(random_place(), ram->map_size, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram->map == MAP_FAILED) {
		int error = errno;
		ram->map = NULL;
		backing_explain_space(total, error);
		return -error;
	}

	uint8_t *next = ram->map;
	for (unsigned int i = 0; i < spans; i++) {
		uintptr_t block = align_up((uintptr_t)next + GUARD, align);
		uint8_t *hva = (uint8_t *)(block + span[i].gpa % align);
		int error = backing_map(ram, &span[i], hva);
		if (error) {
			backing_explain(ram, total, mapped, -error);
			return error;
		}
		ram->region[i] = (struct ram_region){span[i].gpa, span[i].len, hva};
		ram->regions = i + 1;
		mapped += span[i].len;
		next = hva + span[i].len;
	}
	return 0;
}

static int config_check(const struct ram_config *config)
{
	if (config->discard == DISCARD_FREE && config->backing != RAM_ANON) {
		log_error(
			"--discard free needs anonymous memory: use --discard dontneed with memfd "
			"and hugetlbfs");
		return -EINVAL;
	}
	if (config->path && config->backing != RAM_HUGETLBFS) {
		log_error("only hugetlbfs takes a directory: leave out %s", config->path);
		return -EINVAL;
	}
	return 0;
}

static int commit(const struct ram *ram, const struct ram_config *config)
{
	int error = config->numa_node == -1 ? 0 : provision_node(ram, config->numa_node);
	if (!error && config->lock) {
		error = provision_lock(ram);
		/* Permanent: locked memory must stay, and the host could not discard most of it. */
		ram_discard_inhibit(ram);
	}
	if (!error && config->prealloc)
		error = provision_all(ram);
	return error;
}

static int books_open(struct ram *ram)
{
	const struct ram_region *last = &ram->region[ram->regions - 1];

	ram->gate = discard_gate_new();
	ram->torn = torn_new(ram);
	ram->dirty = dirty_log_new(ram);
	if (ram->backing == RAM_HUGETLBFS)
		ram->reservations = reservations_new(ram->page_size, last->gpa + last->size);
	if (ram->gate && ram->dirty && (ram->reservations || ram->backing != RAM_HUGETLBFS))
		return 0;
	log_error("cannot track discards of guest RAM: the host has no memory left");
	return -ENOMEM;
}

int ram_init(struct ram *ram, const struct ram_config *config, const struct gpa_range *span,
	     unsigned int spans)
{
	*ram = (struct ram){
		.page_size = sysconf(_SC_PAGESIZE),
		.backing = config->backing,
		.discard = config->discard,
		.file = -1,
		.placed = config->prealloc || config->lock || config->numa_node != -1,
		.smaps = -1,
		.pagemap = -1,
	};
	if (!spans_valid(span, spans, ram->page_size)) {
		log_error("guest RAM must be 1 to %d ranges of whole pages, ascending and apart",
			  RAM_REGIONS_MAX);
		return -EINVAL;
	}
	int error = config_check(config);
	if (error)
		return error;
	error = backing_open(ram, config, span, spans);
	if (!error)
		error = regions_map(ram, span, spans);
	if (!error)
		error = books_open(ram);
	if (!error)
		error = commit(ram, config);
	if (error) {
		ram_release(ram);
		return error;
	}
	ram->smaps = usage_open();
	ram->fatal = (struct fatal_memory){ram->map, ram->map_size, ram_why_refused(ram), NULL};
	fatal_memory_add(&ram->fatal);
	return 0;
}

int ram_expect_file(struct ram *ram)
{
	if (!ram->private_file)
		ram->private_file = private_file_new(ram);
	return ram->private_file ? 0 : -ENOMEM;
}

int ram_map_file(struct ram *ram, const struct gpa_range *run, unsigned int n, int fd,
		 uint64_t offset)
{
	int error = 0;

	if (ram->backing != RAM_ANON || ram->placed)
		return -EOPNOTSUPP;
	error = ram_expect_file(ram);
	ram->fatal.why = ram_why_refused(ram);
	for (unsigned int i = 0; i < n && !error; i++) {
		error = private_file_map(ram->private_file, &run[i], fd, offset);
		offset += run[i].len;
	}
	return error;
}

const char *ram_why_refused(const struct ram *ram)
{
	if (ram->private_file)
		return "ebb: memory of the guest is in a snapshot that became shorter or cannot be read: keep a snapshot as it is "
		       "while guests run from it, or restore them with --restore-all\n";
	if (ram->backing == RAM_HUGETLBFS)
		return "ebb: the guest needs a huge page and the host's pool is empty: a guest that "
		       "gave some back wants them again; raise vm.nr_hugepages\n";
	return "ebb: the host has no page for the guest's memory: see the host's kernel log\n";
}

const char *ram_why_keep(const struct ram *ram)
{
	if (ram_discard_inhibits(ram) > 0)
		return "locked memory is not given back";
	return backing_why_keep(ram);
}

void ram_release(struct ram *ram)
{
	if (!ram->page_size)
		return; /* all zero: never initialized, or released */
	fatal_memory_remove(&ram->fatal);
	if (ram->map)
		munmap(ram->map, ram->map_size);
	if (ram->file >= 0)
		close(ram->file);
	if (ram->smaps >= 0)
		close(ram->smaps);
	if (ram->pagemap >= 0)
		close(ram->pagemap);
	discard_gate_free(ram->gate);
	private_file_free(ram->private_file);
	torn_free(ram->torn);
	dirty_log_free(ram->dirty);
	reservations_free(ram->reservations);
	*ram = (struct ram){0};
}

static bool overlaps(const struct ram_region *region, uint64_t gpa, uint64_t size)
{
	return gpa < region->gpa + region->size && region->gpa < gpa + size;
}

int ram_add_window(struct ram *ram, uint64_t gpa, uint64_t size, uint8_t *hva)
{
	if (ram->windows == RAM_WINDOWS_MAX)
		return -ENOSPC;
	if (size == 0 || gpa >= GPA_END || size > GPA_END - gpa)
		return -EINVAL;
	for (unsigned int i = 0; i < ram->regions; i++)
		if (overlaps(&ram->region[i], gpa, size))
			return -EINVAL;
	for (unsigned int i = 0; i < ram->windows; i++)
		if (overlaps(&ram->window[i], gpa, size))
			return -EINVAL;
	ram->window[ram->windows++] = (struct ram_region){gpa, size, hva};
	return 0;
}

static void *find(const struct ram_region *region, unsigned int regions, uint64_t gpa, uint64_t len)
{
	if (len == 0)
		return NULL;
	for (unsigned int i = 0; i < regions; i++, region++) {
		/* Below the region this wraps, and is larger than any size. */
		uint64_t offset = gpa - region->gpa;
		if (offset < region->size && len <= region->size - offset)
			return region->hva + offset;
	}
	return NULL;
}

void *ram_at(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	return find(ram->region, ram->regions, gpa, len);
}

void *ram_buffer_at(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	void *at = ram_at(ram, gpa, len);
	return at ? at : find(ram->window, ram->windows, gpa, len);
}

int ram_read(const struct ram *ram, uint64_t gpa, void *data, size_t len)
{
	const void *from = ram_buffer_at(ram, gpa, len);
	if (!from)
		return -EFAULT;
	memcpy(data, from, len);
	/* Check what was copied: the compiler must not read the guest's memory again. */
	__asm__ volatile("" ::: "memory");
	return 0;
}

int ram_write(const struct ram *ram, uint64_t gpa, const void *data, size_t len)
{
	void *to = ram_buffer_at(ram, gpa, len);
	if (!to)
		return -EFAULT;
	memcpy(to, data, len);
	ram_wrote(ram, to, len);
	return 0;
}

int ram_shares(const struct ram *ram, struct ram_share share[RAM_REGIONS_MAX])
{
	if (ram->file < 0)
		return -EOPNOTSUPP;
	for (unsigned int i = 0; i < ram->regions; i++) {
		const struct ram_region *region = &ram->region[i];
		share[i] = (struct ram_share){
			.gpa = region->gpa,
			.size = region->size,
			.hva = region->hva,
			.fd = ram->file,
			.offset = region->gpa, /* see backing.h */
		};
	}
	return (int)ram->regions;
}

uint64_t ram_size(const struct ram *ram)
{
	uint64_t size = 0;
	for (unsigned int i = 0; i < ram->regions; i++)
		size += ram->region[i].size;
	return size;
}
