/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM: where it lies for the guest (gpa) and for us (hva), and the one checked way from the
 * first to the second.
 *
 * The host pays for what is touched and for nothing else (hugetlbfs also reserves); transparent
 * huge pages are advised where pages are not huge anyway, but not where a huge page is larger than
 * what guests report free (on hosts with pages of 64 KiB); it is left out of core dumps. All regions
 * lie in one mapping, each aligned as its gpa is to 2 MiB or to the backing's own larger page, so
 * that a huge page of the guest can be one of the host.
 *
 * Thread: init and release on the main thread with no other running; the rest on any thread.
 */
#ifndef EBB_MEM_RAM_H
#define EBB_MEM_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAM_REGIONS_MAX 4

struct reservations;
struct discard_gate;

/* A stretch of guest-physical addresses, in bytes. */
struct gpa_range {
	uint64_t gpa;
	uint64_t len;
};

struct ram_region {
	uint64_t gpa;
	uint64_t size; /* bytes, a multiple of page_size */
	uint8_t *hva;
};

enum ram_backing {
	RAM_ANON,      /* private anonymous memory, in which the host may use huge pages */
	RAM_MEMFD,     /* an unnamed file in memory, mapped shared */
	RAM_HUGETLBFS, /* huge pages out of the host's pool (vm.nr_hugepages), mapped shared */
};

enum discard_kind {
	DISCARD_DONTNEED, /* gone at once, reads as zero from then on */
	DISCARD_FREE,	  /* gone when the host wants it (MADV_FREE); RAM_ANON only */
};

/* All zero is the usual, but for numa_node. */
struct ram_config {
	enum ram_backing backing;
	const char *path; /* of a mounted hugetlbfs; NULL: huge pages of the default size */
	/* All of it is taken at the start. It goes back all the same when the guest reports it. */
	bool prealloc;
	/* What is touched is never swapped out; so that it stays, discarding is inhibited. */
	bool lock;
	/*
	 * The node to take it from, as long as that has memory, or -1: the node of the CPU that
	 * touches it first, anew after each discard.
	 */
	int numa_node;
	enum discard_kind discard;
};
#define RAM_CONFIG_DEFAULT                                                                         \
	{                                                                                          \
		.numa_node = -1                                                                    \
	}

struct ram {
	struct ram_region region[RAM_REGIONS_MAX]; /* ascending by gpa, never adjacent */
	unsigned int regions;
	size_t page_size; /* of the backing: what can be discarded is a whole number of these */
	void *map;	  /* the mapping that holds all regions */
	size_t map_size;
	enum ram_backing backing;
	enum discard_kind discard;
	int file; /* in which a byte's offset is its gpa, or -1 */
	struct reservations
		*reservations;	   /* RAM_HUGETLBFS: reservations not yet used up, see claim.h */
	struct discard_gate *gate; /* that every discard passes: see discard.h */
};

/*
 * Makes RAM for @spans, which ascend, do not touch, and are multiples of the host's page size and of
 * the backing's.
 *
 * Huge pages of RAM_HUGETLBFS are reserved, so that there are enough of them for as long as nothing
 * is discarded. A discarded one is anybody's, also if it was never touched: if the host has none
 * left when the guest touches it again, that access fails (SIGBUS here, EFAULT in KVM_RUN).
 *
 * Returns 0, or -errno having said what is wrong; then nothing is left behind.
 */
int ram_init(struct ram *ram, const struct ram_config *config, const struct gpa_range *span,
	     unsigned int spans);
/* Also of a struct that is all zero. */
void ram_release(struct ram *ram);

/*
 * The host's address of guest memory [gpa, gpa + len): valid for @len bytes, or NULL where any of
 * it is not RAM, crosses a region's end, or wraps. A @len of 0 gives NULL. The guest can change
 * what is there at any time: copy first, then check the copy.
 */
void *ram_at(const struct ram *ram, uint64_t gpa, uint64_t len);

/* Copy out of or into what ram_at() finds. Return 0, or -EFAULT with nothing copied. */
int ram_read(const struct ram *ram, uint64_t gpa, void *data, size_t len);
int ram_write(const struct ram *ram, uint64_t gpa, const void *data, size_t len);

/* One region, as another process maps it: @size bytes of @fd from @offset on. */
struct ram_share {
	uint64_t gpa;
	uint64_t size;
	const uint8_t
		*hva; /* in this process: such processes are told of addresses in these terms */
	int fd;	      /* of struct ram: not to be closed, and valid until ram_release() */
	uint64_t offset;
};

/*
 * What a process needs that serves a device of the guest's in our place (vhost-user's memory table).
 * It has read and write access to all of RAM from then on, and finds there what the guest finds:
 * discarded memory reads as zero for it, too. Returns the number of regions, in @share; or -EOPNOTSUPP
 * where RAM is private to this process (RAM_ANON).
 */
int ram_shares(const struct ram *ram, struct ram_share share[RAM_REGIONS_MAX]);

/* Bytes of RAM in all regions. */
uint64_t ram_size(const struct ram *ram);

#endif
