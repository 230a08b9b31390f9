// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/fake_disk.h"

#include <check.h>
#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio-blk/ring.h"
#include "tests/unit/fake_ring.h"

struct fake_driver disk_guest;
struct blk disk;
char disk_path[64];
static enum disk_engine engine;
static bool direct;

uint8_t disk_byte(uint64_t sector)
{
	return (uint8_t)(sector % 251 + 1);
}

/* Piece by piece: each test has its own process, to which a page of its own is a fault, which costs an emulated processor
 * more than what is written there. */
static void fill_file(void)
{
	static uint8_t piece[64 * KIB];
	strcpy(disk_path, "/tmp/ebb-disk-XXXXXX");
	int fd = mkstemp(disk_path);
	ck_assert_int_ge(fd, 0);
	for (uint64_t at = 0; at < DISK_SIZE; at += sizeof(piece)) {
		for (uint64_t i = 0; i < sizeof(piece); i += BLK_SECTOR)
			memset(piece + i, disk_byte((at + i) / BLK_SECTOR), BLK_SECTOR);
		ck_assert_int_eq(write(fd, piece, sizeof(piece)), sizeof(piece));
	}
	close(fd);
}

static void plug(bool read_only)
{
	const struct blk_config config = {.file = disk_path,
					  .read_only = read_only,
					  .one_by_one = engine == DISK_SYNC,
					  .direct = direct,
					  .id = "disk0"};
	fake_ring.on = engine == DISK_FAKE;
	fake_driver_init(&disk_guest);
	ck_assert_int_eq(blk_init(&disk, &config, &disk_guest.host), 0);
	fake_driver_plug(&disk_guest, &disk.dev);
	fake_driver_start(&disk_guest, DISK_ALL & disk.dev.features_offered, 1, DISK_QUEUE);
}

static void unplug(void)
{
	/* As the end of a machine: what flies lands. */
	ck_assert(virtio_core_stop(&disk_guest.mmio.core, UINT64_MAX));
	fake_driver_release(&disk_guest);
	blk_release(&disk);
}

static void setup(enum disk_engine with)
{
	engine = with;
	fake_ring = (struct fake_ring){0};
	fill_file();
	plug(false);
	ck_assert(!disk.queue[0].ring == (with == DISK_SYNC));
}

void disk_setup(void)
{
	setup(DISK_SYNC);
}

static void setup_direct(enum disk_engine with)
{
	direct = true;
	setup(with);
	direct = false;
	if (!disk.image.direct)
		printf("disks: O_DIRECT is not tested: the file system of /tmp cannot do it\n");
}

void disk_setup_direct(void)
{
	setup_direct(DISK_SYNC);
}

void disk_setup_direct_uring(void)
{
	setup_direct(DISK_URING);
}

void disk_setup_fake(void)
{
	setup(DISK_FAKE);
}

void disk_setup_uring(void)
{
	setup(DISK_URING);
}

bool disk_has_uring(void)
{
	struct ring *ring;
	fake_ring = (struct fake_ring){0};
	int error = ring_open(&ring, 1);
	if (error)
		printf("disks: the tests with io_uring are left out: the host refuses it: %s\n",
		       strerror(-error));
	else
		ring_close(ring);
	return !error;
}

void disk_settle(void)
{
	struct pollfd bell = {disk_guest.doorbell[0], POLLIN, 0};
	fake_driver_work(&disk_guest);
	for (unsigned int i = 0; disk.queue[0].flying > 0 && !fake_ring.holds; i++) {
		ck_assert_uint_lt(i, 2000);
		poll(&bell, 1, 10);
		fake_driver_work(&disk_guest);
	}
}

void disk_teardown(void)
{
	unplug();
	unlink(disk_path);
}

void disk_replug(bool read_only)
{
	unplug();
	plug(read_only);
}

/* By the library's own loop: emulated processors take long for one over bytes. */
static bool all_are(const uint8_t *bytes, uint64_t len, uint8_t value)
{
	return len == 0 || (bytes[0] == value && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* By a descriptor of its own: the disk's may be for whole blocks of memory. */
static uint8_t *read_file(uint64_t offset, uint64_t len)
{
	uint8_t *bytes = malloc(len);
	ck_assert_ptr_nonnull(bytes);
	int fd = open(disk_path, O_RDONLY);
	ck_assert_int_eq(pread(fd, bytes, len, offset), len);
	close(fd);
	return bytes;
}

bool disk_file_is(uint64_t offset, uint64_t len, uint8_t value)
{
	uint8_t *bytes = read_file(offset, len);
	bool is = all_are(bytes, len, value);
	free(bytes);
	return is;
}

bool disk_is_moved(uint64_t sectors)
{
	uint8_t *bytes = read_file(0, DISK_SIZE);
	bool is = true;
	for (uint64_t i = 0; i < DISK_SECTORS; i++)
		is = is && all_are(bytes + i * BLK_SECTOR, BLK_SECTOR, disk_byte(i + sectors));
	free(bytes);
	return is;
}

bool disk_ram_is(uint64_t gpa, uint64_t len, uint8_t value)
{
	return all_are(fake_driver_at(&disk_guest, gpa, len), len, value);
}

void disk_header(uint32_t type, uint64_t sector)
{
	const struct virtio_blk_outhdr header = {.type = htole32(type), .sector = htole64(sector)};
	memcpy(fake_driver_at(&disk_guest, DISK_HEADER, sizeof(header)), &header, sizeof(header));
}

struct disk_answer disk_chain(const struct gpa_range *buffer, unsigned int n, unsigned int readable)
{
	struct vring_used_elem element = {0};
	uint8_t *status = fake_driver_at(&disk_guest, DISK_STATUS, 1);
	struct disk_answer answer = {0};

	*status = NO_ANSWER;
	uint16_t head = fake_queue_add(&disk_guest.queue[0], buffer, n, readable);
	fake_driver_kick(&disk_guest, 0);
	disk_settle();
	answer.used = fake_queue_used(&disk_guest.queue[0], &element);
	if (answer.used)
		ck_assert_uint_eq(element.id, head);
	answer.len = element.len;
	answer.status = *status;
	return answer;
}

struct disk_answer disk_request(uint32_t type, uint64_t sector, const struct gpa_range *data,
				unsigned int n, unsigned int readable)
{
	struct gpa_range buffer[DISK_QUEUE] = {{DISK_HEADER, sizeof(struct virtio_blk_outhdr)}};

	disk_header(type, sector);
	for (unsigned int i = 0; i < n; i++)
		buffer[1 + i] = data[i];
	buffer[1 + n] = (struct gpa_range){DISK_STATUS, 1};
	return disk_chain(buffer, n + 2, 1 + readable);
}

struct disk_answer disk_read(uint64_t sector, uint32_t len)
{
	const struct gpa_range data = {DISK_DATA, len};
	return disk_request(VIRTIO_BLK_T_IN, sector, &data, len > 0, 0);
}

struct disk_answer disk_write(uint64_t sector, uint32_t len)
{
	const struct gpa_range data = {DISK_DATA, len};
	return disk_request(VIRTIO_BLK_T_OUT, sector, &data, len > 0, len > 0);
}

struct disk_answer disk_range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	const struct virtio_blk_discard_write_zeroes range = {htole64(sector), htole32(sectors),
							      htole32(flags)};
	const struct gpa_range data = {DISK_DATA, sizeof(range)};
	memcpy(fake_driver_at(&disk_guest, DISK_DATA, sizeof(range)), &range, sizeof(range));
	return disk_request(type, 0, &data, 1, 1);
}

bool disk_needs_reset(void)
{
	return fake_driver_get(&disk_guest, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET;
}
