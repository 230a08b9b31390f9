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
#define RAM_WINDOWS_MAX 2

struct reservations;
struct discard_gate;
struct dirty_log;
struct private_file;
struct torn;

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
	RAM_HUGETLBFS, /* huge pages from the host's pool (vm.nr_hugepages), mapped shared */
};

enum discard_kind {
	DISCARD_DONTNEED, /* freed at once, reads as zero from then on */
	DISCARD_FREE,	  /* freed when the host wants memory (MADV_FREE); RAM_ANON only */
};

/* RAM_CONFIG_DEFAULT is all zero except numa_node. */
struct ram_config {
	enum ram_backing backing;
	const char *path; /* a directory in a hugetlbfs; NULL: huge pages of the default size */
	/* Allocate all of it at the start. Memory that the guest reports is still discarded. */
	bool prealloc;
	/* Never swap out a touched page; inhibits discards, so that the page stays. */
	bool lock;
	/*
	 * The node to prefer, or -1: the node of the CPU that touches a page first, chosen again
	 * after each discard.
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
	bool placed;			   /* locked, allocated, or bound to a node */
	int file;			   /* file whose offsets are gpas, or -1 */
	struct reservations *reservations; /* NULL except for RAM_HUGETLBFS: see reservation.h */
	struct discard_gate *gate;	   /* every discard passes it: see discard_gate.h */
	struct private_file *private_file; /* or NULL: see ram_map_file() */
	struct torn *torn;		   /* or NULL: see torn.h */
	struct dirty_log *dirty;	   /* what this process writes: see dirty_log.h */
	int smaps;			   /* for ram_usage(), or -1: see usage.h */
	int pagemap;			   /* for ram_present(), or -1: set after ram_init() */
	struct fatal_memory fatal;	   /* an access that the host refuses ends the process */
	/* Memory that is not RAM: see ram_add_window(). */
	struct ram_region window[RAM_WINDOWS_MAX];
	unsigned int windows;
};

/*
 * Creates RAM for the @spans of @span, which ascend, do not touch, and are multiples of the host's
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

/* For a process that can open no file any more when it calls ram_map_file(), before that. Returns 0 or -ENOMEM. */
int ram_expect_file(struct ram *ram);
/*
 * Maps the guest's memory @run, @n ranges of whole pages, each in one region, from @offset on in @fd, one after another:
 * see private_file.h. Only RAM_ANON that is neither locked, nor allocated, nor bound to a node can be mapped. While no
 * other thread uses it, and nothing touched it; again for another file. Returns 0, -EOPNOTSUPP for other RAM, or -errno, with a
 * part of it mapped.
 */
int ram_map_file(struct ram *ram, const struct gpa_range *run, unsigned int n, int fd,
		 uint64_t offset);

/*
 * Adds memory of a device that the guest may name as a buffer of another device: a page of a file
 * that the guest maps, for example, and reads from a disk to. It is no RAM: it is not discarded, not
 * counted, and no ring lies in it. @hva is valid for @size bytes until ram_release(). While no other
 * thread runs. Returns 0, -EINVAL if it overlaps RAM or another window, or -ENOSPC.
 */
int ram_add_window(struct ram *ram, uint64_t gpa, uint64_t size, uint8_t *hva);

/*
 * Returns the hva of guest memory [gpa, gpa + len), valid for @len bytes; or NULL if any of it is
 * not RAM, crosses a region's end or wraps, or if @len is 0. The guest can change the contents at
 * any time: copy first, then check the copy.
 */
void *ram_at(const struct ram *ram, uint64_t gpa, uint64_t len);

/* As ram_at(), but also finds windows: for the contents of a device's buffers. */
void *ram_buffer_at(const struct ram *ram, uint64_t gpa, uint64_t len);

/* Copy from or to guest memory, as ram_buffer_at() finds it. Return 0, or -EFAULT with nothing copied. */
int ram_read(const struct ram *ram, uint64_t gpa, void *data, size_t len);
int ram_write(const struct ram *ram, uint64_t gpa, const void *data, size_t len);

/* One region, as another process maps it: @size bytes of @fd from @offset on. */
struct ram_share {
	uint64_t gpa;
	uint64_t size;
	const uint8_t
		*hva; /* in this process: other processes are given addresses in this form, too */
	int fd;	      /* of struct ram: do not close it; valid until ram_release() */
	uint64_t offset;
};

/*
 * Fills in @share for another process that serves one of the guest's devices (vhost-user's memory
 * table). That process has read and write access to all of RAM from then on, and sees the same
 * contents as the guest: discarded memory reads as zero there, too. Returns the number of regions,
 * or -EOPNOTSUPP if RAM is private to this process (RAM_ANON).
 */
int ram_shares(const struct ram *ram, struct ram_share share[RAM_REGIONS_MAX]);

/* Returns a line, with its newline, that says why the host may refuse a page of this memory. */
const char *ram_why_refused(const struct ram *ram);

/*
 * Returns the end of a message that says why this memory is given back only if the user asks for
 * it; or NULL if it can always be given back. Reads the host's figures: main thread, after
 * ram_init().
 */
const char *ram_why_keep(const struct ram *ram);

/* Returns the bytes of RAM in all regions. */
uint64_t ram_size(const struct ram *ram);

#endif
