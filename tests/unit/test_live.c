// SPDX-License-Identifier: Apache-2.0
/* A guest that is sent while it runs: what it writes is logged for that, and no longer than that, however it ends. */
#include <check.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fake_ioctl.h"
#include "tests/unit/memory.h"
#include "vmm/machine/live.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/save.h"
#include "vmm/machine/track.h"
#include "vmm/mem/dirty_log.h"
#include "vmm/mem/present.h"

#define PAGE 4096ULL
#define LOW  0x10000ULL
#define HIGH 0x100000000ULL

static struct machine machine;
static struct snapshot_writer writer;
static struct why why;
static uint32_t flags[2]; /* of KVM's slots */
static enum {
	NONE,
	WRITER_FAILS,
	KVM_REFUSES, /* to log the second slot */
	KVM_TELLS_NOTHING,
	GUEST_WRITES, /* to all of its memory, all the time */
	GUEST_ENDS,
	FAILURES
} failure;
static int quiet;   /* how often KVM tells of no writes before */
static bool logged; /* both slots, when something was written */
static bool stays;  /* it goes on here */
static bool tracked;

static int kvm(int fd, unsigned long request, void *argument)
{
	const struct kvm_userspace_memory_region *slot = argument;
	const struct kvm_dirty_log *log = argument;

	(void)fd;
	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
		if (failure == KVM_REFUSES && slot->slot == 1 && slot->flags) {
			errno = ENOMEM;
			return -1;
		}
		flags[slot->slot] = slot->flags;
		return 0;
	case KVM_GET_DIRTY_LOG:
		*(uint64_t *)log->dirty_bitmap = failure == GUEST_WRITES && quiet-- <= 0 ? 0xff : 0;
		errno = EIO;
		return failure == KVM_TELLS_NOTHING ? -1 : 0;
	default:
		ck_abort_msg("no other call of KVM's is needed");
	}
}

static int write_some(void *ctx, const void *data, size_t len)
{
	(void)ctx, (void)data, (void)len;
	logged = flags[0] == KVM_MEM_LOG_DIRTY_PAGES && flags[1] == KVM_MEM_LOG_DIRTY_PAGES;
	/* Not at the head, before which nothing is logged. */
	return failure == WRITER_FAILS && logged ? -EPIPE : 0;
}

static void setup(void)
{
	const struct gpa_range span[] = {{LOW, 8 * PAGE}, {HIGH, 8 * PAGE}};
	const struct ram_config config = RAM_CONFIG_DEFAULT;

	machine = (struct machine){.vm = {.kvm = -1, .fd = -1}};
	ck_assert_int_eq(ram_init(&machine.ram, &config, span, 2), 0);
	machine.ram.pagemap = present_open();
	memset(machine.ram.region[0].hva, 1, 8 * PAGE);
	memset(flags, 0, sizeof(flags));
	failure = NONE;
	quiet = 0;
	stays = tracked = false;
	fake_ioctl = kvm;
}

static void teardown(void)
{
	fake_ioctl = NULL;
	live_free(&machine);
	track_free(&machine);
	ram_release(&machine.ram);
}

static int send(void)
{
	writer = (struct snapshot_writer){.write = write_some, .stays = stays, .track = tracked};
	why = (struct why){""};
	logged = false;
	return live_save(&machine, &writer, 1, &why);
}

/* Whether what this process writes is noted. */
static bool is_noted(void)
{
	uint64_t bits = 0;

	ck_assert_int_eq(ram_write(&machine.ram, LOW, "", 1), 0);
	dirty_log_take(machine.ram.dirty, 0, &bits);
	return bits == 1;
}

static void expect_nothing_logged(void)
{
	ck_assert_uint_eq(flags[0] | flags[1], 0);
	ck_assert(!is_noted());
	ck_assert_ptr_null(machine.live);
}

/* The control of the next: it is logged until it has all been sent. */
START_TEST(one_that_is_sent)
{
	ck_assert_int_eq(send(), 0);
	ck_assert(logged && flags[0] && flags[1]);
	ck_assert(is_noted());
	ck_assert_int_eq(live_finish(&machine, &why), 0);
	ck_assert(flags[0] && flags[1]);
	live_end(&machine);
	expect_nothing_logged();
}
END_TEST

START_TEST(one_that_is_not)
{
	static const int error[FAILURES] = {0, -EPIPE, -ENOMEM, -EIO, -EBUSY, -ECANCELED};

	failure = _i;
	if (failure == GUEST_ENDS)
		atomic_store(&machine.end, MACHINE_STOPPED);
	ck_assert_int_eq(send(), error[_i]);
	expect_nothing_logged();
	/* Nothing is left of it. */
	failure = NONE;
	atomic_store(&machine.end, MACHINE_RUNS);
	ck_assert_int_eq(send(), 0);
}
END_TEST

/* A vCPU does not stand still, or the reader goes. */
START_TEST(one_whose_rest_is_not)
{
	const int error = _i ? -EPIPE : -EBUSY;
	uint64_t pages;

	ck_assert_int_eq(send(), 0);
	failure = WRITER_FAILS;
	machine.cpus.paused = _i;
	ck_assert_int_eq(machine_save(&machine, &writer, &pages, &why), error);
	live_end(&machine);
	expect_nothing_logged();
}
END_TEST

/* It writes as fast as it is sent: soon it stands still, and for longer than it was to. (The control, which moves: see above.) */
START_TEST(one_that_stays)
{
	stays = true;
	failure = GUEST_WRITES;
	ck_assert_int_eq(send(), 0);
	ck_assert_uint_le(writer.pages, 3 * 16);
	uint64_t sent = writer.pages;
	ck_assert_int_eq(live_finish(&machine, &why), 0);
	ck_assert_uint_gt(writer.pages, sent);
	live_end(&machine);
	expect_nothing_logged();
	/* Sent in vain, nothing is left of it either. */
	failure = WRITER_FAILS;
	ck_assert_int_eq(send(), -EPIPE);
	expect_nothing_logged();
}
END_TEST

static const struct snapshot_id first = {{1}}, second = {{2}};

static bool has_changed(unsigned int page)
{
	bool changed[PRESENT_PAGES];

	track_changed(&machine, &machine.ram.region[0], 0, 8, changed);
	return changed[page];
}

/* One that is tracked is so afterwards, and what the rounds took from the logs was written since its base. If this is for one that is not
 * tracked itself, the last one can still be kept, and then it was written since that. */
START_TEST(one_that_is_tracked)
{
	struct snapshot_id last;

	ck_assert_int_eq(track_look(&machine, true, &why), 0);
	track_saved(&machine, &first, true);
	ck_assert(track_keep(&machine, &first, &second));
	track_saved(&machine, &first, true);
	ck_assert(track_last(&machine, &last));
	stays = true;
	tracked = _i;
	failure = GUEST_WRITES;
	/* Before the first round: both slots are asked. Only the rounds hear of any. */
	quiet = 2;
	ck_assert_int_eq(send(), 0);
	ck_assert(has_changed(0) == tracked && has_changed(7) == tracked);
	live_end(&machine);
	ck_assert(machine.track && flags[0] && flags[1] && is_noted());
	ck_assert(track_last(&machine, &last) == !tracked);
	ck_assert(track_keep(&machine, &first, &first) == !tracked);
	ck_assert(has_changed(0) && has_changed(7));
	/* One that moves is not: the control. */
	stays = tracked = false;
	failure = NONE;
	ck_assert_int_eq(send(), 0);
	ck_assert_ptr_null(machine.track);
}
END_TEST

/* In all of this process. */
static uint64_t taken(void)
{
	return memory_smaps(NULL, SIZE_MAX, "Private_Dirty") / 1024;
}

/* A sanitizer keeps some of what to look takes, and an emulator of the processor some of each page: until they take no more. */
static uint64_t settled(void)
{
	uint64_t now = taken();

	for (int looks = 0; looks < 20; looks++) {
		uint64_t was = now;
		now = taken();
		if (now < was + 32)
			break;
	}
	return now;
}

/* Returns what is taken while the log is on, with all of @ram in it. */
static uint64_t log_all(struct ram *ram)
{
	dirty_log_switch(ram->dirty, true);
	ram_wrote(ram, ram->region[0].hva, ram->region[0].size);
	uint64_t now = taken();
	dirty_log_switch(ram->dirty, false);
	return now;
}

/* 16 GiB of RAM, of which nothing is touched, have a log of 512 KiB. */
START_TEST(the_log_takes_memory_while_it_is_on)
{
	const struct gpa_range span = {LOW, 16ULL << 30};
	const struct ram_config config = RAM_CONFIG_DEFAULT;
	struct ram large;

	ck_assert_int_eq(ram_init(&large, &config, &span, 1), 0);
	log_all(&large);
	uint64_t before = settled();
	ck_assert_uint_ge(log_all(&large), before + 512);
	ck_assert_uint_lt(taken(), before + 256);
	ram_release(&large);
}
END_TEST

Suite *live_suite(void);
Suite *live_suite(void)
{
	Suite *suite = suite_create("live");
	TCase *tcase = tcase_create("live");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, one_that_is_sent);
	tcase_add_loop_test(tcase, one_that_is_not, WRITER_FAILS, FAILURES);
	tcase_add_loop_test(tcase, one_whose_rest_is_not, 0, 2);
	tcase_add_test(tcase, one_that_stays);
	tcase_add_loop_test(tcase, one_that_is_tracked, 0, 2);
	tcase_add_test(tcase, the_log_takes_memory_while_it_is_on);
	suite_add_tcase(suite, tcase);
	return suite;
}
