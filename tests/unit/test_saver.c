// SPDX-License-Identifier: Apache-2.0
/* A guest that is saved: its disks are flushed while it runs, and again when it stands still. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fake_ioctl.h"
#include "tests/unit/memory.h"
#include "vmm/lib/clock.h"
#include "vmm/machine/device_blk.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/save.h"
#include "vmm/machine/track.h"
#include "vmm/monitor/monitor.h"

#define LIMIT_NS (10 * NS_PER_S)

enum { IMAGE, AGAIN, DESCRIPTORS };

static struct machine machine;
static struct monitor monitor;
static struct saver *const saver = &monitor.saver;
static struct virtio_device no_queues;
static struct disk disk;
static int flushed[DESCRIPTORS], failing;
static bool stood[DESCRIPTORS], ends; /* ends: while it is flushed for the first time */
static unsigned int answers;
static pthread_t loops; /* the thread that runs the loop, once it is known */

static int flush(int fd)
{
	flushed[fd]++;
	stood[fd] = saver->stands;
	if (ends)
		atomic_store(&machine.end, MACHINE_STOPPED);
	errno = EIO;
	return fd == failing ? -1 : 0;
}

static const struct image_calls calls = {.fdatasync = flush};

static void saved(struct monitor *of, uint64_t ticket)
{
	(void)of, (void)ticket;
	answers++;
}

/* The monitor has no clients, who would be told that it is paused: it is already. */
static void setup(void)
{
	memset(&machine, 0, sizeof(machine));
	machine.cpus.paused = true;
	machine.devices.count = 1;
	machine.devices.device[0] = &disk.device;
	disk = (struct disk){
		.device = {.kind = &device_blk, .slot.mmio.core.dev = &no_queues},
		.blk.image = {.calls = &calls, .fd = IMAGE},
		.again = AGAIN,
	};
	monitor = (struct monitor){.machine = &machine, .paused = true};
	memset(flushed, 0, sizeof(flushed));
	memset(stood, 0, sizeof(stood));
	ends = false;
	answers = 0;
	ck_assert_int_eq(loop_init(&machine.loop), 0);
	ck_assert_int_eq(saver_init(saver, &monitor), 0);
	ck_assert_int_eq(saver_start(saver, NULL), 0);
}

static void teardown(void)
{
	ck_assert(saver_release(saver));
	loop_release(&machine.loop);
}

static void save(saver_what what)
{
	uint64_t deadline = clock_ns() + LIMIT_NS;

	saver_begin(saver, what, -1, saved, 0);
	while (!answers && clock_ns() < deadline)
		ck_assert_int_eq(loop_turn(&machine.loop, 100), 0);
	ck_assert_uint_eq(answers, 1);
}

/* What is left then fails, so that nothing is sent. */
START_TEST(it_runs_when_it_is_flushed_first)
{
	failing = IMAGE;
	save(machine_save);
	ck_assert_int_eq(saver->error, -EIO);
	ck_assert_int_eq(flushed[AGAIN], 1);
	ck_assert(!stood[AGAIN]);
	ck_assert_int_eq(flushed[IMAGE], 1);
	ck_assert(stood[IMAGE]);
}
END_TEST

/* Its disk cannot be flushed, or it ends meanwhile. */
START_TEST(it_is_not_stopped_in_vain)
{
	failing = _i ? DESCRIPTORS : AGAIN;
	ends = _i;
	save(machine_save);
	ck_assert_int_eq(saver->error, _i ? -ECANCELED : -EIO);
	ck_assert_int_eq(flushed[AGAIN], 1);
	ck_assert_int_eq(flushed[IMAGE], 0);
	ck_assert_uint_eq(saver->since, 0);
}
END_TEST

static int save_nothing(struct machine *of, struct snapshot_writer *writer, uint64_t *pages,
			struct why *why)
{
	(void)of, (void)writer, (void)why;
	*pages = saver->stands;
	return 0;
}

/* Which has no disks. */
START_TEST(a_working_set)
{
	save(save_nothing);
	ck_assert_int_eq(saver->error, 0);
	ck_assert_uint_eq(saver->pages, 1);
	ck_assert_int_eq(flushed[AGAIN] + flushed[IMAGE], 0);
}
END_TEST

/* In place of a machine that was written: it stands still for what the client does. */
static int save_to_client(struct machine *of, struct snapshot_writer *writer, uint64_t *pages,
			  struct why *why)
{
	(void)of, (void)why;
	*pages = 0;
	return writer->finish ? writer->finish(writer->ctx) : 0;
}

/* A client says that it is busy, and then that it has the disks, or goes away; one that copies none is not waited for. */
START_TEST(a_client_that_copies_disks)
{
	const char *const said[] = {"bb", "bb\0", ""};
	const int error[] = {-EPIPE, 0, 0};
	const size_t len[] = {2, 3, 0};
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	saver->disks = _i < 2;
	ck_assert_int_eq(write(pair[1], said[_i], len[_i]), (ssize_t)len[_i]);
	if (_i == 0)
		close(pair[1]);
	saver_begin(saver, save_to_client, pair[0], saved, 0);
	uint64_t deadline = clock_ns() + LIMIT_NS;
	while (!answers && clock_ns() < deadline)
		ck_assert_int_eq(loop_turn(&machine.loop, 100), 0);
	ck_assert_uint_eq(answers, 1);
	ck_assert_int_eq(saver->error, error[_i]);
	if (_i > 0)
		close(pair[1]);
}
END_TEST

static int no_kvm(int fd, unsigned long request, void *argument)
{
	(void)fd, (void)request, (void)argument;
	ck_assert(!pthread_equal(pthread_self(), loops));
	return 0;
}

/* The client cannot keep what it has: that is forgotten, by the thread that may ask KVM for it, while the guest runs. */
START_TEST(one_that_is_dropped)
{
	const struct gpa_range span = {0x10000, 0x8000};
	const struct ram_config config = RAM_CONFIG_DEFAULT;
	const struct snapshot_id id = {{1}};
	uint64_t deadline = clock_ns() + LIMIT_NS;

	machine.vm = (struct vm){.kvm = -1, .fd = -1};
	ck_assert_int_eq(ram_init(&machine.ram, &config, &span, 1), 0);
	fake_ioctl = no_kvm;
	ck_assert_int_eq(track_look(&machine, true, &saver->why), 0);
	track_saved(&machine, &id, true);
	loops = pthread_self();
	saver_drop(saver, saved, 0);
	while (!answers && clock_ns() < deadline)
		ck_assert_int_eq(loop_turn(&machine.loop, 100), 0);
	ck_assert_uint_eq(answers, 1);
	ck_assert(!machine.track && !saver->saves && !saver->after);
	ck_assert_uint_eq(saver->since, 0);
	fake_ioctl = NULL;
	ram_release(&machine.ram);
}
END_TEST

Suite *saver_suite(void);
Suite *saver_suite(void)
{
	Suite *suite = suite_create("saver");
	TCase *tcase = tcase_create("saver");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, it_runs_when_it_is_flushed_first);
	tcase_add_loop_test(tcase, it_is_not_stopped_in_vain, 0, 2);
	tcase_add_test(tcase, a_working_set);
	tcase_add_loop_test(tcase, a_client_that_copies_disks, 0, 3);
	tcase_add_test(tcase, one_that_is_dropped);
	suite_add_tcase(suite, tcase);
	return suite;
}
