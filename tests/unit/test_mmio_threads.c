// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/toy.h"

/* --- two threads ----------------------------------------------------------------------------- */

static bool done;

static void *worker(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
		if (!fake_driver_turn(&driver))
			sched_yield();
	return NULL;
}

static void *gives_up(void *unused)
{
	(void)unused;
	toy_set(VIRTIO_MMIO_STATUS, status() | FAILED);
	return NULL;
}

/* Until somebody waits for the device, for 10 s at most. */
static void await_waiter(void)
{
	struct timespec moment = {.tv_nsec = 1000000};
	for (int i = 0; i < 10000; i++) {
		if (pthread_mutex_trylock(&driver.mmio.core.next) == EBUSY)
			return;
		pthread_mutex_unlock(&driver.mmio.core.next);
		nanosleep(&moment, NULL);
	}
	ck_abort_msg("nobody waits for the device");
}

/* A device that never runs out of work, and a vCPU that wants to stop it: that goes first. */
START_TEST(a_vcpu_does_not_starve)
{
	pthread_t working, stopping;

	fake_driver_start(&driver, V1, 1, SIZE);
	unsigned int worked = toy.worked;
	toy.busy = true;
	toy.blocks = true;
	done = false;
	toy_set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	ck_assert_int_eq(pthread_create(&working, NULL, worker, NULL), 0);
	sem_wait(&toy.within); /* it has the device */
	ck_assert_int_eq(pthread_create(&stopping, NULL, gives_up, NULL), 0);
	await_waiter();
	/* Other registers do not wait. */
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	sem_post(&toy.go_on);
	pthread_join(stopping, NULL);
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
	pthread_join(working, NULL);
	ck_assert_uint_eq(toy.worked, worked + 1);
}
END_TEST

/* It waits for the queue that is served, not for those that come after. */
START_TEST(a_vcpu_waits_for_one_queue)
{
	pthread_t working, stopping;

	fake_driver_start(&driver, V1, 2, SIZE);
	unsigned int worked = toy.worked;
	toy.blocks = true;
	done = false;
	toy_set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	toy_set(VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	ck_assert_int_eq(pthread_create(&working, NULL, worker, NULL), 0);
	sem_wait(&toy.within);
	ck_assert_int_eq(pthread_create(&stopping, NULL, gives_up, NULL), 0);
	await_waiter();
	sem_post(&toy.go_on);
	pthread_join(stopping, NULL);
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
	pthread_join(working, NULL);
	ck_assert_uint_eq(toy.worked, worked + 1);
}
END_TEST

static void *config_changer(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&toy.lock);
	toy.config[0]++;
	atomic_fetch_add(&toy.dev.config_generation, 1);
	pthread_mutex_unlock(&toy.lock);
	virtio_config_changed(&toy.dev);
	return NULL;
}

/* Neither a vCPU that looks at the configuration nor whoever changes it waits for a chain. */
START_TEST(the_configuration_waits_for_no_chain)
{
	pthread_t working, changing;

	fake_driver_start(&driver, V1, 1, SIZE);
	toy.blocks = true;
	done = false;
	toy_set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	ck_assert_int_eq(pthread_create(&working, NULL, worker, NULL), 0);
	sem_wait(&toy.within);
	toy_set(VIRTIO_MMIO_CONFIG, 0x01020304);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_CONFIG), 0x01020304);
	ck_assert_int_eq(pthread_create(&changing, NULL, config_changer, NULL), 0);
	pthread_join(changing, NULL);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_CONFIG), 0x01020305);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_CONFIG_GENERATION), 1);
	ck_assert_uint_eq(toy_get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
	sem_post(&toy.go_on);
	pthread_join(working, NULL);
}
END_TEST

static void *vcpu(void *unused)
{
	unsigned int seed = 1;
	(void)unused;
	for (unsigned int i = 0; i < 500; i++) {
		fake_driver_start(&driver, V1, 1, SIZE);
		for (unsigned int j = rand_r(&seed) % 8; j > 0; j--) {
			chain_add(0);
			toy_set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		}
		toy_get(VIRTIO_MMIO_CONFIG);
		toy_set(VIRTIO_MMIO_STATUS, 0);
		/* After the reset its memory is the driver's state. */
		memset(driver.queue[0].used, 0xee, 256);
		sched_yield();
		for (unsigned int j = 0; j < 256; j++)
			if (((uint8_t *)driver.queue[0].used)[j] != 0xee)
				return "written to after a reset";
	}
	return NULL;
}

START_TEST(resets_while_it_works)
{
	pthread_t working, running;
	void *wrong;

	done = false;
	ck_assert_int_eq(pthread_create(&working, NULL, worker, NULL), 0);
	ck_assert_int_eq(pthread_create(&running, NULL, vcpu, NULL), 0);
	pthread_join(running, &wrong);
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
	pthread_join(working, NULL);
	ck_assert_msg(!wrong, "%s", (char *)wrong);
	ck_assert_uint_gt(toy.worked, 0);
}
END_TEST

Suite *mmio_threads_suite(void);
Suite *mmio_threads_suite(void)
{
	Suite *suite = suite_create("mmio, threads");
	TCase *tcase = tcase_create("threads");
	tcase_add_checked_fixture(tcase, toy_setup, toy_teardown);
	tcase_add_test(tcase, a_vcpu_does_not_starve);
	tcase_add_test(tcase, a_vcpu_waits_for_one_queue);
	tcase_add_test(tcase, the_configuration_waits_for_no_chain);
	tcase_add_test(tcase, resets_while_it_works);
	suite_add_tcase(suite, tcase);
	return suite;
}
