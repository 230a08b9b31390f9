// SPDX-License-Identifier: Apache-2.0
/* What devices write to guest RAM by other ways than ram_write() is noted: each page that has changed, of all RAM. */
#include <check.h>
#include <endian.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_vsock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fake_disk.h"
#include "tests/unit/fake_ring.h"
#include "tests/unit/fake_vsock.h"
#include "vmm/mem/dirty_log.h"

#define PAGE 4096U
#define LEN  (64 * KIB)

static uint8_t *before[RAM_REGIONS_MAX];

/* The driver writes nothing from now on. */
static void begin(const struct ram *ram, bool noted)
{
	for (unsigned int i = 0; i < ram->regions; i++) {
		before[i] = malloc(ram->region[i].size);
		memcpy(before[i], ram->region[i].hva, ram->region[i].size);
	}
	dirty_log_switch(ram->dirty, noted);
}

/* Returns how many pages have changed, and sets how many of them were not noted. */
static unsigned int end(const struct ram *ram, unsigned int *missing)
{
	unsigned int changed = 0;

	*missing = 0;
	for (unsigned int i = 0; i < ram->regions; i++) {
		const uint8_t *now = ram->region[i].hva;
		uint64_t *bits = calloc(dirty_log_words(ram, &ram->region[i]), sizeof(*bits));
		dirty_log_take(ram->dirty, i, bits);
		for (uint64_t page = 0; page < ram->region[i].size / PAGE; page++) {
			if (memcmp(now + page * PAGE, before[i] + page * PAGE, PAGE) == 0)
				continue;
			changed++;
			*missing += !(bits[page / 64] >> page % 64 & 1);
		}
		free(bits);
		free(before[i]);
	}
	dirty_log_switch(ram->dirty, false);
	return changed;
}

/* --- a disk -------------------------------------------------------------------------------------- */

/* Reads @len bytes from the sector 0, or the disk's name. Returns as end(). */
static unsigned int disk_reads(uint32_t type, uint32_t len, bool noted, unsigned int *missing)
{
	const struct virtio_blk_outhdr header = {.type = htole32(type)};
	const struct gpa_range chain[] = {{DISK_HEADER, 16}, {DISK_DATA, len}, {DISK_STATUS, 1}};

	memset(fake_driver_at(&disk_guest, DISK_DATA, len), 0xee, len);
	memcpy(fake_driver_at(&disk_guest, DISK_HEADER, sizeof(header)), &header, sizeof(header));
	*(uint8_t *)fake_driver_at(&disk_guest, DISK_STATUS, 1) = NO_ANSWER;
	fake_queue_add(&disk_guest.queue[0], chain, 3, 1);
	begin(&disk_guest.ram, noted);
	fake_driver_kick(&disk_guest, 0);
	disk_settle();
	return end(&disk_guest.ram, missing);
}

START_TEST(what_a_disk_reads)
{
	const unsigned int pages = LEN / PAGE + 2; /* the status, and the used ring */
	unsigned int missing;

	ck_assert_uint_ge(disk_reads(VIRTIO_BLK_T_IN, LEN, true, &missing), pages);
	ck_assert_uint_eq(missing, 0);
	ck_assert_uint_ge(disk_reads(VIRTIO_BLK_T_GET_ID, 20, true, &missing), 3);
	ck_assert_uint_eq(missing, 0);
	/* The control. */
	unsigned int changed = disk_reads(VIRTIO_BLK_T_IN, LEN, false, &missing);
	ck_assert_uint_ge(changed, pages);
	ck_assert_uint_eq(missing, changed);
}
END_TEST

/* What the host has read when the driver resets the device gets no answer, but is in RAM. */
START_TEST(what_is_dropped)
{
	const struct virtio_blk_outhdr header = {.type = htole32(VIRTIO_BLK_T_IN)};
	const struct gpa_range chain[] = {{DISK_HEADER, 16}, {DISK_DATA, LEN}, {DISK_STATUS, 1}};
	unsigned int missing;

	memset(fake_driver_at(&disk_guest, DISK_DATA, LEN), 0xee, LEN);
	memcpy(fake_driver_at(&disk_guest, DISK_HEADER, sizeof(header)), &header, sizeof(header));
	fake_queue_add(&disk_guest.queue[0], chain, 3, 1);
	fake_ring.holds = true;
	begin(&disk_guest.ram, true);
	fake_driver_kick(&disk_guest, 0);
	fake_driver_set(&disk_guest, VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_ge(end(&disk_guest.ram, &missing), LEN / PAGE);
	ck_assert_uint_eq(missing, 0);
}
END_TEST

/* --- sockets ------------------------------------------------------------------------------------- */

START_TEST(what_a_program_sends)
{
	/* Fills three buffers. */
	static uint8_t data[3 * (VS_BUFFER - sizeof(struct virtio_vsock_hdr))];
	struct vring_desc *desc = vs_guest.queue[VSOCK_RECEIVE].desc;
	uint32_t port;
	unsigned int missing;
	int fd = vs_connected(9, &port);

	/* Data in another page than the header. */
	for (unsigned int i = 0; i < VS_RING; i++)
		desc[i].addr = htole64(le64toh(desc[i].addr) + PAGE / 2);
	memset(data, 0xaa, sizeof(data));
	ck_assert_int_eq(send(fd, data, sizeof(data), MSG_NOSIGNAL), sizeof(data));
	begin(&vs_guest.ram, true);
	vs_work();
	ck_assert_uint_ge(end(&vs_guest.ram, &missing), 3 + 1 + 1);
	ck_assert_uint_eq(missing, 0);
	close(fd);
}
END_TEST

static TCase *dropped_case(void)
{
	TCase *tcase = tcase_create("dropped");

	tcase_add_checked_fixture(tcase, disk_setup_fake, disk_teardown);
	tcase_add_test(tcase, what_is_dropped);
	return tcase;
}

static TCase *disk_case(const char *name, void (*setup)(void))
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, setup, disk_teardown);
	tcase_add_test(tcase, what_a_disk_reads);
	return tcase;
}

Suite *device_writes_suite(void);
Suite *device_writes_suite(void)
{
	Suite *suite = suite_create("device_writes");
	TCase *sockets = tcase_create("sockets");

	suite_add_tcase(suite, disk_case("one after the other", disk_setup));
	suite_add_tcase(suite, disk_case("at the same time", disk_setup_fake));
	suite_add_tcase(suite, dropped_case());
	if (disk_has_uring())
		suite_add_tcase(suite, disk_case("by the kernel", disk_setup_uring));
	tcase_add_checked_fixture(sockets, vs_setup, vs_teardown);
	tcase_add_test(sockets, what_a_program_sends);
	suite_add_tcase(suite, sockets);
	return suite;
}
