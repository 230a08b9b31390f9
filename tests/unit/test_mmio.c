// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "tests/unit/toy.h"

/* --- as a driver would ----------------------------------------------------------------------- */

START_TEST(it_says_what_it_is)
{
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_VERSION), 2);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_DEVICE_ID), 42);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_CONFIG_GENERATION), 0);
	toy_set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_DEVICE_FEATURES), OFFERED >> 32);
	toy_set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)OFFERED);
	toy_set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_DEVICE_FEATURES), 0);
	toy_set(VIRTIO_MMIO_QUEUE_SEL, 0);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_NUM_MAX), SIZE);
	toy_set(VIRTIO_MMIO_QUEUE_SEL, 1);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_NUM_MAX), VIRTIO_QUEUE_SIZE_MAX);
	/* No shared memory: a driver takes a length of all ones for "no such region". */
	toy_set(VIRTIO_MMIO_SHM_SEL, 0);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_SHM_LEN_LOW), 0xffffffff);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_SHM_LEN_HIGH), 0xffffffff);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_SHM_BASE_LOW), 0xffffffff);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_SHM_BASE_HIGH), 0xffffffff);
}
END_TEST

START_TEST(a_driver_starts_it_and_it_works)
{
	ck_assert_uint_eq(status(), 0);
	ck_assert_uint_eq(fake_driver_negotiate(&driver, V1 | 1ULL << 3),
			  ACK | DRIVER | FEATURES_OK);
	for (unsigned int i = 0; i < 2; i++) {
		fake_driver_queue(&driver, i, SIZE);
		ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_READY), 1);
	}
	ck_assert(!toy.dev.queue[0].indirect);
	ck_assert_uint_eq(toy.activated, 0);
	fake_driver_ok(&driver);
	ck_assert_uint_eq(status(), ACK | DRIVER | FEATURES_OK | OK);
	ck_assert_uint_eq(toy.activated, 1);
	ck_assert_uint_eq(toy.features_at_activate, V1 | 1ULL << 3);

	for (unsigned int i = 0; i < 3; i++)
		chain_add(1);
	fake_driver_kick(&driver, 1);
	ck_assert_uint_eq(chains_done(1), 3);
	ck_assert_uint_eq(chains_done(0), 0);
	ck_assert_uint_gt(atomic_load(&driver.interrupts), 0);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	toy_set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	toy_set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}
END_TEST

START_TEST(chains_that_were_there_before_count)
{
	fake_driver_negotiate(&driver, V1);
	fake_driver_queue(&driver, 0, SIZE);
	chain_add(0);
	toy_set(VIRTIO_MMIO_QUEUE_NOTIFY, 0); /* too early: not DRIVER_OK */
	fake_driver_work(&driver);
	ck_assert_uint_eq(toy.worked, 0);
	fake_driver_ok(&driver);
	fake_driver_work(&driver);
	ck_assert_uint_eq(chains_done(0), 1);
}
END_TEST

START_TEST(a_notification_names_its_queue)
{
	fake_driver_start(&driver, V1, 2, SIZE);
	chain_add(0);
	chain_add(1);
	fake_driver_kick(&driver, 1);
	ck_assert_uint_eq(chains_done(0), 0);
	ck_assert_uint_eq(chains_done(1), 1);
	fake_driver_kick(&driver, 0);
	ck_assert_uint_eq(chains_done(0), 1);
}
END_TEST

/* The host is told which, though this transport's driver sees all queues as one. */
START_TEST(an_interrupt_names_its_source)
{
	fake_driver_start(&driver, V1, 2, SIZE);
	for (unsigned int i = 0; i < 2; i++) {
		chain_add(i);
		fake_driver_kick(&driver, i);
		ck_assert_int_eq(atomic_load(&driver.interrupted_by), (int)i);
		ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	}
	virtio_config_changed(&toy.dev);
	ck_assert_int_eq(atomic_load(&driver.interrupted_by), VIRTIO_INTERRUPT_CONFIG);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS),
			  VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
}
END_TEST

START_TEST(no_interrupt_where_none_is_wanted)
{
	fake_driver_start(&driver, V1, 1, SIZE);
	driver.queue[0].avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	chain_add(0);
	fake_driver_kick(&driver, 0);
	ck_assert_uint_eq(chains_done(0), 1);
	ck_assert_uint_eq(atomic_load(&driver.interrupts), 0);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}
END_TEST

START_TEST(reset_is_back_to_the_start)
{
	fake_driver_start(&driver, V1 | IND, 2, SIZE);
	ck_assert(toy.dev.queue[0].indirect);
	chain_add(0);
	fake_driver_kick(&driver, 0);
	toy_set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	unsigned int resets = toy.resets;

	toy_set(VIRTIO_MMIO_STATUS, 0);
	ck_assert_uint_eq(toy.resets, resets + 1);
	ck_assert_uint_eq(status(), 0);
	ck_assert_uint_eq(toy.dev.features, 0);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_DEVICE_FEATURES), (uint32_t)OFFERED);
	for (unsigned int i = 0; i < 2; i++) {
		toy_set(VIRTIO_MMIO_QUEUE_SEL, i);
		ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_READY), 0);
		ck_assert_uint_ne(toy_get(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	}
	/* And again from there. */
	fake_driver_start(&driver, V1, 2, SIZE);
	chain_add(0);
	fake_driver_kick(&driver, 0);
	ck_assert_uint_eq(chains_done(0), 1);
}
END_TEST

/* A driver may stop a queue that runs (§4.2.2.2); starting it again would take a reset. */
START_TEST(a_queue_can_be_stopped)
{
	fake_driver_start(&driver, V1, 1, SIZE);
	toy_set(VIRTIO_MMIO_QUEUE_SEL, 0);
	toy_set(VIRTIO_MMIO_QUEUE_READY, 0);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_READY), 0);
	chain_add(0);
	fake_driver_kick(&driver, 0);
	ck_assert_uint_eq(chains_done(0), 0);
	toy_set(VIRTIO_MMIO_QUEUE_READY, 1);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_READY), 0);
}
END_TEST

/* As Linux does when a later queue's set-up fails, before DRIVER_OK. */
START_TEST(a_queue_can_be_set_up_again)
{
	fake_driver_negotiate(&driver, V1);
	fake_driver_queue(&driver, 0, SIZE);
	toy_set(VIRTIO_MMIO_QUEUE_READY, 0);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_READY), 0);
	fake_driver_queue(&driver, 0, SIZE / 2);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_QUEUE_READY), 1);
	ck_assert_uint_eq(toy.dev.queue[0].size, SIZE / 2);
}
END_TEST

START_TEST(configuration_space_takes_any_width)
{
	uint64_t eight = 0;

	virtio_mmio_write(&driver.mmio, 0x100, "abcdefgh", 8);
	virtio_mmio_write(&driver.mmio, 0x101, "X", 1);
	virtio_mmio_write(&driver.mmio, 0x103, "YZ", 2);
	virtio_mmio_read(&driver.mmio, 0x100, &eight, 8);
	ck_assert_mem_eq(&eight, "aXcYZfgh", 8);
	virtio_mmio_read(&driver.mmio, 0x107, &eight, 2);
	ck_assert_mem_eq(&eight, "h\0", 2);
	ck_assert_uint_eq(toy_get(0xffc), 0);
}
END_TEST

static const struct {
	const char *name;
	uint64_t offset;
	size_t len, within; /* bytes of it that are in the space of 8 */
} accesses[] = {
	{"the whole", 0, 8, 8},
	{"one more", 0, 9, 8},
	{"all that a transport asks", 0, 64, 8},
	{"the last byte", 7, 1, 1},
	{"across the end", 6, 4, 2},
	{"at the end", 8, 4, 0},
	{"behind it", 4096, 8, 0},
	{"nothing", 0, 0, 0},
	{"wraps", UINT64_MAX, 8, 0},
	{"wraps to the start", UINT64_MAX - 3, 8, 0},
};

/* The device sees of an access only what lies within its configuration space. */
START_TEST(configuration_space_has_an_end)
{
	const uint8_t ones[64] = {[0 ... 63] = 0xff};
	uint8_t data[64 + 1], expected[8] = {0};

	virtio_core_config_write(&driver.mmio.core, accesses[_i].offset, ones, accesses[_i].len);
	if (accesses[_i].within)
		memset(expected + accesses[_i].offset, 0xff, accesses[_i].within);
	ck_assert_mem_eq(toy.config, expected, 8);

	memset(data, 0xcc, sizeof(data));
	virtio_core_config_read(&driver.mmio.core, accesses[_i].offset, data, accesses[_i].len);
	for (size_t i = 0; i < sizeof(data); i++) {
		uint8_t byte = i < accesses[_i].within ? 0xff : i < accesses[_i].len ? 0 : 0xcc;
		ck_assert_msg(data[i] == byte, "%s: byte %zu is %x", accesses[_i].name, i, data[i]);
	}
}
END_TEST

/* Told only while there is a driver that has the device in use; the number counts always. */
START_TEST(the_device_changes_its_configuration)
{
	atomic_fetch_add(&toy.dev.config_generation, 1);
	virtio_config_changed(&toy.dev);
	ck_assert_uint_eq(atomic_load(&driver.interrupts), 0);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_CONFIG_GENERATION), 1);

	fake_driver_start(&driver, V1, 1, SIZE);
	atomic_fetch_add(&toy.dev.config_generation, 1);
	virtio_config_changed(&toy.dev);
	ck_assert_uint_eq(atomic_load(&driver.interrupts), 1);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_CONFIG_GENERATION), 2);
	toy_set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);

	toy_set(VIRTIO_MMIO_STATUS, 0);
	virtio_config_changed(&toy.dev);
	ck_assert_uint_eq(atomic_load(&driver.interrupts), 1);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_CONFIG_GENERATION), 2);
}
END_TEST

/* --- a device that cannot ---------------------------------------------------------------------- */

/* §2.1.2: a driver that has set DRIVER_OK is told by a configuration change. */
START_TEST(a_device_that_cannot_start_needs_a_reset)
{
	toy.activate_error = -EIO;
	fake_driver_start(&driver, V1, 2, SIZE);
	ck_assert_uint_eq(toy.activated, 1);
	ck_assert_uint_eq(status(), ACK | DRIVER | FEATURES_OK | OK | NEEDS_RESET);
	ck_assert_uint_eq(atomic_load(&driver.interrupts), 1);
	ck_assert_int_eq(atomic_load(&driver.interrupted_by), VIRTIO_INTERRUPT_CONFIG);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);

	/* Its rings are left alone, asked or not. */
	chain_add(0);
	fake_driver_kick(&driver, 0);
	fake_driver_spurious(&driver);
	ck_assert_uint_eq(toy.worked, 0);
	fake_driver_ok(&driver);
	ck_assert_uint_eq(toy.activated, 1);

	/* The next driver may be luckier. */
	toy.activate_error = 0;
	fake_driver_start(&driver, V1, 2, SIZE);
	ck_assert_uint_eq(status(), ACK | DRIVER | FEATURES_OK | OK);
	chain_add(0);
	fake_driver_kick(&driver, 0);
	ck_assert_uint_eq(chains_done(0), 1);
}
END_TEST

/* Tries without end print a few lines. */
START_TEST(a_device_that_never_starts_says_so_a_few_times)
{
	toy.activate_error = -ENOMEM;
	for (unsigned int i = 0; i < 1000; i++)
		fake_driver_start(&driver, V1, 1, SIZE);
	ck_assert_uint_eq(toy.activated, 1000);
	ck_assert_uint_ge(atomic_load(&driver.mmio.core.log.lines), LOG_LIMIT_LINES);
}
END_TEST

/* These a vCPU leaves to the device's worker: resets, DRIVER_OK, FAILED, a queue's end. */
START_TEST(writes_that_start_and_stop)
{
	static const struct {
		uint64_t offset;
		uint32_t value;
		bool does;
	} write[] = {
		{VIRTIO_MMIO_STATUS, 0, true},	       {VIRTIO_MMIO_STATUS, 1, false},
		{VIRTIO_MMIO_STATUS, 11, false},       {VIRTIO_MMIO_STATUS, 15, true},
		{VIRTIO_MMIO_STATUS, 128, true},       {VIRTIO_MMIO_QUEUE_READY, 0, true},
		{VIRTIO_MMIO_QUEUE_READY, 1, false},   {VIRTIO_MMIO_QUEUE_NOTIFY, 0, false},
		{VIRTIO_MMIO_INTERRUPT_ACK, 3, false}, {VIRTIO_MMIO_CONFIG, 0, false},
	};

	for (size_t i = 0; i < sizeof(write) / sizeof(write[0]); i++) {
		uint32_t value = htole32(write[i].value);
		ck_assert_int_eq(
			virtio_mmio_starts_or_stops(write[i].offset, &value, sizeof(value)),
			write[i].does);
		/* Of another width it writes nothing. */
		ck_assert(!virtio_mmio_starts_or_stops(write[i].offset, &value, 1));
	}
}
END_TEST

Suite *mmio_suite(void);
Suite *mmio_suite(void)
{
	Suite *suite = suite_create("mmio");
	TCase *tcase = tcase_create("driver");
	tcase_add_checked_fixture(tcase, toy_setup, toy_teardown);
	tcase_add_test(tcase, it_says_what_it_is);
	tcase_add_test(tcase, a_driver_starts_it_and_it_works);
	tcase_add_test(tcase, chains_that_were_there_before_count);
	tcase_add_test(tcase, a_notification_names_its_queue);
	tcase_add_test(tcase, an_interrupt_names_its_source);
	tcase_add_test(tcase, no_interrupt_where_none_is_wanted);
	tcase_add_test(tcase, reset_is_back_to_the_start);
	tcase_add_test(tcase, a_queue_can_be_stopped);
	tcase_add_test(tcase, a_queue_can_be_set_up_again);
	tcase_add_test(tcase, configuration_space_takes_any_width);
	tcase_add_loop_test(tcase, configuration_space_has_an_end, 0,
			    sizeof(accesses) / sizeof(accesses[0]));
	tcase_add_test(tcase, the_device_changes_its_configuration);
	tcase_add_test(tcase, a_device_that_cannot_start_needs_a_reset);
	tcase_add_test(tcase, a_device_that_never_starts_says_so_a_few_times);
	tcase_add_test(tcase, writes_that_start_and_stop);
	suite_add_tcase(suite, tcase);
	return suite;
}
