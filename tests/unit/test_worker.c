// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <pthread.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/worker.h"

#define THREADS 100

/* Keeps the name that the thread has when it begins. */
static void *begin(void *ctx)
{
	pthread_getname_np(pthread_self(), ctx, 16);
	return NULL;
}

START_TEST(has_its_name_from_the_start)
{
	struct worker_thread thread[THREADS];
	char name[THREADS][16];
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(worker_thread_start(&thread[i], "a longer name than 15", NULL,
						     begin, name[i]),
				 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(thread[i].id, NULL);
		ck_assert_str_eq(name[i], "a longer name t");
	}
}
END_TEST

START_TEST(is_patient_while_asked_to)
{
	const struct sched_param none = {0};

	/* Whoever runs the tests may have chosen another. */
	ck_assert_int_eq(sched_setscheduler(0, SCHED_OTHER, &none), 0);
	ck_assert(worker_set_patient(true));
	ck_assert_int_eq(sched_getscheduler(0), SCHED_BATCH);
	ck_assert(worker_set_patient(false));
	ck_assert_int_eq(sched_getscheduler(0), SCHED_OTHER);
}
END_TEST

/* Whoever started ebb may have chosen it. */
START_TEST(keeps_a_policy_that_it_was_given)
{
	const struct sched_param none = {0};

	ck_assert_int_eq(sched_setscheduler(0, SCHED_BATCH, &none), 0);
	ck_assert(!worker_set_patient(true));
	ck_assert_int_eq(sched_getscheduler(0), SCHED_BATCH);
	ck_assert_int_eq(sched_setscheduler(0, SCHED_IDLE, &none), 0);
	ck_assert(!worker_set_patient(true));
	ck_assert(!worker_set_patient(false));
	ck_assert_int_eq(sched_getscheduler(0), SCHED_IDLE);
}
END_TEST

#define CALLERS 4
#define ERRANDS 200

struct errands {
	struct worker worker;
	pthread_t on; /* the worker's thread */
	unsigned int done;
};

static void find_out(void *ctx)
{
	struct errands *errands = ctx;
	errands->on = pthread_self();
	errands->done++; /* no lock: only one thread ever does this */
}

static void *ask(void *ctx)
{
	struct errands *errands = ctx;
	for (int i = 0; i < ERRANDS; i++)
		worker_do(&errands->worker, find_out, errands);
	return NULL;
}

/* Each errand of several threads is done once, and by the worker; one that is asked for early waits for it. */
START_TEST(does_errands)
{
	static struct errands errands;
	pthread_t caller[CALLERS];

	ck_assert_int_eq(worker_init(&errands.worker), 0);
	worker_hold(&errands.worker);
	ck_assert_int_eq(worker_start(&errands.worker, "toy", NULL), 0);
	for (int i = 0; i < CALLERS; i++)
		ck_assert_int_eq(pthread_create(&caller[i], NULL, ask, &errands), 0);
	ck_assert_uint_eq(errands.done, 0);
	worker_begin(&errands.worker);
	for (int i = 0; i < CALLERS; i++)
		ck_assert_int_eq(pthread_join(caller[i], NULL), 0);
	ck_assert_uint_eq(errands.done, CALLERS * ERRANDS);
	ck_assert(pthread_equal(errands.on, errands.worker.thread.id));
	worker_release(&errands.worker);
}
END_TEST

static void *ask_once(void *ctx)
{
	struct errands *errands = ctx;
	worker_do(&errands->worker, find_out, errands);
	return NULL;
}

/* Its loop fails: whoever waits for it, and whoever comes later, goes on with nothing done. A test that hangs has failed. */
START_TEST(does_not_keep_callers_when_it_has_failed)
{
	static struct errands errands;
	pthread_t early;

	ck_assert_int_eq(worker_init(&errands.worker), 0);
	worker_hold(&errands.worker);
	ck_assert_int_eq(worker_start(&errands.worker, "toy", NULL), 0);
	ck_assert_int_eq(pthread_create(&early, NULL, ask_once, &errands), 0);
	/* Nothing to wait for. */
	int null = open("/dev/null", O_RDONLY);
	ck_assert_int_eq(dup2(null, errands.worker.loop.epoll), errands.worker.loop.epoll);
	close(null);
	worker_begin(&errands.worker);
	pthread_join(early, NULL);
	ask_once(&errands);
	ck_assert_uint_eq(errands.done, 0);
	worker_release(&errands.worker);
}
END_TEST

Suite *worker_suite(void);
Suite *worker_suite(void)
{
	Suite *suite = suite_create("worker");
	TCase *tcase = tcase_create("worker");
	tcase_add_test(tcase, has_its_name_from_the_start);
	tcase_add_test(tcase, is_patient_while_asked_to);
	tcase_add_test(tcase, keeps_a_policy_that_it_was_given);
	tcase_add_test(tcase, does_errands);
	tcase_add_test(tcase, does_not_keep_callers_when_it_has_failed);
	suite_add_tcase(suite, tcase);
	return suite;
}
