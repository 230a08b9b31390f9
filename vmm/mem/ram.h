/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM: where it lies for the guest (gpa) and for ebb (hva), and the one checked way from the
 * first to the second.
 *
 * Only touched pages use the host's memory (hugetlbfs also reserves the rest). Transparent huge
 * pages are advised for the other backings, unless one is larger than the blocks that guests report
 * (on hosts with pages of 64 KiB). RAM is left out of core dumps. All regions lie in one mapping,
 * each at its gpa's offset from a multiple of 2 MiB, or of the backing's larger page, so that a
 * huge page of the guest can be one of the host.
 *
 * Thread: init and release on the main thread while it is the only one; the rest on any thread.
 */
#ifndef EBB_MEM_RAM_H
#define EBB_MEM_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/lib/fatal.h"

#define RAM_REGIONS_MAX 4

struct reservations;
struct discard_gate;

/* A range of guest-physical addresses, in bytes. */
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
	DISCARD_DONTNEED, /* freed at once, reads as zero from then on */
	DISCARD_FREE,	  /* freed when the host wants memory (MADV_FREE); RAM_ANON only */
};

/* RAM_CONFIG_DEFAULT is all zero, but for numa_node. */
struct ram_config {
	enum ram_backing backing;
	const char *path; /* a directory in a hugetlbfs; NULL: huge pages of the default size */
	/* Take all of it at the start. What the guest reports is discarded all the same. */
	bool prealloc;
	/* Never swap out a touched page; discards are inhibited, so that it stays. */
	bool lock;
	/*
	 * The node to prefer, or -1: that of the CPU that touches a page first, again after each
	 * discard.
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
	size_t page_size; /* of the backing, in bytes: the smallest unit that can be discarded */
	void *map;	  /* the mapping that holds all regions */
	size_t map_size;
	enum ram_backing backing;
	enum discard_kind discard;
	int file;			   /* whose offsets are gpas, or -1 */
	struct reservations *reservations; /* NULL but for RAM_HUGETLBFS: see reservation.h */
	struct discard_gate *gate;	   /* passed by every discard: see discard_gate.h */
	struct fatal_memory fatal;	   /* an access that the host refuses ends the process */
};

/*
 * Makes RAM for the @spans of @span, which ascend, do not touch, and are multiples of the host's
 * page size and of the backing's.
 *
 * Huge pages of RAM_HUGETLBFS are reserved: there are enough of them as long as none is discarded.
 * A discarded one is free for any process, even if it was never touched. If the host has none left
 * when the guest touches it again, the access fails (SIGBUS in ebb, EFAULT from KVM_RUN).
 *
 * Returns 0, or -errno after an error message, with nothing left behind.
 */
int ram_init(struct ram *ram, const struct ram_config *config, const struct gpa_range *span,
	     unsigned int spans);
/* @ram may be all zero. */
void ram_release(struct ram *ram);

/*
 * Returns the hva of guest memory [gpa, gpa + len), valid for @len bytes; or NULL if any of it is
 * not RAM, crosses a region's end or wraps, or if @len is 0. The guest can change the contents at
 * any time: copy first, then check the copy.
 */
void *ram_at(const struct ram *ram, uint64_t gpa, uint64_t len);

/* Copy from or to guest memory, as ram_at() finds it. Return 0, or -EFAULT with nothing copied. */
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

/* A line, with its end, that says why the host may refuse a page of it. */
const char *ram_why_refused(const struct ram *ram);

/*
 * Returns why this memory is given back only if the user asks for it, to end a message with; or NULL if
 * nothing speaks against it. Reads the host's figures: main thread, after ram_init().
 */
const char *ram_why_keep(const struct ram *ram);

/* Bytes of RAM in all regions. */
uint64_t ram_size(const struct ram *ram);

#endif
