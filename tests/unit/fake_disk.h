/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk on a file of its own, and the guest's side of it. Buffers of requests lie from DISK_DATA on: the
 * header at DISK_HEADER, the status at DISK_STATUS.
 */
#ifndef EBB_TEST_FAKE_DISK_H
#define EBB_TEST_FAKE_DISK_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio-blk/blk.h"
#include "tests/unit/fake_driver.h"

#define BIT(n)	     (1ULL << (n))
#define DISK_V1	     BIT(VIRTIO_F_VERSION_1)
#define DISK_FLUSH   BIT(VIRTIO_BLK_F_FLUSH)
#define DISK_DISCARD BIT(VIRTIO_BLK_F_DISCARD)
#define DISK_ZERO    BIT(VIRTIO_BLK_F_WRITE_ZEROES)
#define DISK_ALL     (DISK_V1 | DISK_FLUSH | DISK_DISCARD | DISK_ZERO)
#define DISK_SIZE    (8 * MIB)
#define DISK_SECTORS (DISK_SIZE / BLK_SECTOR)
#define DISK_QUEUE   256

#define DISK_HEADER (4 * MIB)
#define DISK_STATUS (4 * MIB + 64)
#define DISK_DATA   (5 * MIB)
#define NO_ANSWER   0xff /* a status that no device writes */

extern struct fake_driver disk_guest;
extern struct blk disk;
extern char disk_path[64];

/* How it moves data: one request after the other, by an io_uring that is none (fake_ring.h), by one that is. */
enum disk_engine { DISK_SYNC, DISK_FAKE, DISK_URING };

/* Fixtures: a file of DISK_SIZE in which each byte tells its sector, and a driver that has all features. */
void disk_setup(void);
void disk_setup_fake(void);
void disk_setup_uring(void);
/* With cache=none, if /tmp is on a file system that can do it. */
void disk_setup_direct(void);
void disk_setup_direct_uring(void);
/* Returns whether the third can be. If not, it says so. */
bool disk_has_uring(void);
void disk_teardown(void);
/* Makes the disk again, of a file that is as it was. */
void disk_replug(bool read_only);

/* What the file has at a sector when nobody has written to it. */
uint8_t disk_byte(uint64_t sector);
/* All @len bytes at @offset of the file are @value. */
bool disk_file_is(uint64_t offset, uint64_t len, uint8_t value);
/* Each sector of the file is as the one @sectors behind it was at first; with 0, nobody has written to it. */
bool disk_is_moved(uint64_t sectors);
/* All @len bytes at @gpa are @value. */
bool disk_ram_is(uint64_t gpa, uint64_t len, uint8_t value);

struct disk_answer {
	bool used; /* the chain came back */
	uint8_t status;
	uint32_t len;
};

/* One request whose buffers between header and status are @data, of which @readable are for the device to read. */
struct disk_answer disk_request(uint32_t type, uint64_t sector, const struct gpa_range *data,
				unsigned int n, unsigned int readable);
/* With one buffer of data at DISK_DATA. */
struct disk_answer disk_read(uint64_t sector, uint32_t len);
struct disk_answer disk_write(uint64_t sector, uint32_t len);
struct disk_answer disk_range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags);

/* Has the worker work until no request flies. */
void disk_settle(void);

/* Any chain, whatever it is. */
struct disk_answer disk_chain(const struct gpa_range *buffer, unsigned int n,
			      unsigned int readable);
void disk_header(uint32_t type, uint64_t sector);
bool disk_needs_reset(void);

/* It came back with @want as its status. */
#define ANSWERED(answer, want)                                                                     \
	do {                                                                                       \
		struct disk_answer got_ = (answer);                                                \
		ck_assert(got_.used);                                                              \
		ck_assert_uint_eq(got_.status, want);                                              \
	} while (0)
#define DISK_COUNTED(kind, counter, want)                                                          \
	ck_assert_uint_eq(atomic_load(&disk.counters[kind].counter), want)

#endif
