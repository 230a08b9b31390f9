// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <linux/virtio_mmio.h>

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

Suite *mmio_suite(void);
Suite *mmio_suite(void)
{
	Suite *suite = suite_create("mmio");
	TCase *tcase = tcase_create("driver");
	tcase_add_checked_fixture(tcase, toy_setup, toy_teardown);
	tcase_add_test(tcase, it_says_what_it_is);
	tcase_add_test(tcase, a_driver_starts_it_and_it_works);
	tcase_add_test(tcase, chains_that_were_there_before_count);
	tcase_add_test(tcase, no_interrupt_where_none_is_wanted);
	tcase_add_test(tcase, reset_is_back_to_the_start);
	tcase_add_test(tcase, a_queue_can_be_stopped);
	tcase_add_test(tcase, a_queue_can_be_set_up_again);
	tcase_add_test(tcase, configuration_space_takes_any_width);
	tcase_add_test(tcase, the_device_changes_its_configuration);
	suite_add_tcase(suite, tcase);
	return suite;
}
