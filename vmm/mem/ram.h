/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM: where it lies for the guest (gpa) and for us (hva), and the one checked way from the
 * first to the second.
 *
 * Private anonymous memory, mapped MAP_NORESERVE so that the host pays for what is touched and for
 * nothing else; transparent huge pages advised; left out of core dumps. All regions lie in one
 * mapping, each 2 MiB aligned as its gpa is, so that a huge page of the guest can be one of the
 * host.
 *
 * Thread: init and release on the main thread with no other running; the rest on any thread.
 */
#ifndef EBB_MEM_RAM_H
#define EBB_MEM_RAM_H

#include <stddef.h>
#include <stdint.h>

#define RAM_REGIONS_MAX 4

struct gate;

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

struct ram {
	struct ram_region region[RAM_REGIONS_MAX]; /* ascending by gpa, never adjacent */
	unsigned int regions;
	size_t page_size; /* of the backing: what can be discarded is a whole number of these */
	void *map;	  /* the mapping that holds all regions */
	size_t map_size;
	struct gate *gate; /* that every discard passes: see discard.h */
};

/*
 * Maps RAM for @spans, which ascend, do not touch, and are multiples of the host's page size.
 * Returns 0, or -errno having said what is wrong (among it the host's overcommit policy).
 */
int ram_init(struct ram *ram, const struct gpa_range *span, unsigned int spans);
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

/* Bytes of RAM in all regions. */
uint64_t ram_size(const struct ram *ram);

#endif
