// SPDX-License-Identifier: Apache-2.0
/* What a guest has written since its last snapshot that is kept, whatever happened to those after it. */
#include <check.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>

#include "tests/unit/fake_ioctl.h"
#include "tests/unit/memory.h"
#include "vmm/machine/live.h"
#include "vmm/machine/machine.h"
#include "vmm/machine/track.h"
#include "vmm/mem/dirty_log.h"

#define PAGE  4096ULL
#define LOW   0x10000ULL
#define HIGH  0x100000000ULL
#define PAGES 8

static struct machine machine;
static struct why why;
static uint32_t flags[2];   /* of KVM's slots */
static uint64_t written[2]; /* by vCPUs, as KVM has it */
static int refused;	    /* the slot that KVM refuses to log, or to tell of; or -1 */
static const struct snapshot_id first = {{1}}, second = {{2}};

static int kvm(int fd, unsigned long request, void *argument)
{
	const struct kvm_userspace_memory_region *slot = argument;
	const struct kvm_dirty_log *log = argument;

	(void)fd;
	errno = EIO;
	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
		if ((int)slot->slot == refused && slot->flags)
			return -1;
		flags[slot->slot] = slot->flags;
		return 0;
	case KVM_GET_DIRTY_LOG:
		if ((int)log->slot == refused)
			return -1;
		*(uint64_t *)log->dirty_bitmap = written[log->slot];
		written[log->slot] = 0;
		return 0;
	default:
		ck_abort_msg("no other call of KVM's is needed");
	}
}

static void setup(void)
{
	const struct gpa_range span[] = {{LOW, PAGES * PAGE}, {HIGH, PAGES * PAGE}};
	const struct ram_config config = RAM_CONFIG_DEFAULT;

	machine = (struct machine){.vm = {.kvm = -1, .fd = -1}};
	ck_assert_int_eq(ram_init(&machine.ram, &config, span, 2), 0);
	memset(flags, 0, sizeof(flags));
	memset(written, 0, sizeof(written));
	refused = -1;
	fake_ioctl = kvm;
}

static void teardown(void)
{
	fake_ioctl = NULL;
	track_free(&machine);
	ram_release(&machine.ram);
}

static void save(bool whole, const struct snapshot_id *id)
{
	ck_assert_int_eq(track_look(&machine, whole, &why), 0);
	track_saved(&machine, id, whole);
}

/* The pages of a region that an increment would have, a bit for each. */
static unsigned int changed(unsigned int region)
{
	bool page[PRESENT_PAGES] = {false};
	unsigned int bits = 0;

	track_changed(&machine, &machine.ram.region[region], 0, PAGES, page);
	for (unsigned int i = 0; i < PAGES; i++)
		bits |= (unsigned int)page[i] << i;
	return bits;
}

static void device_writes(uint64_t gpa)
{
	ck_assert_int_eq(ram_write(&machine.ram, gpa, "", 1), 0);
}

/* vCPUs and devices, in both regions; before it was tracked, and before the base, nothing counts. */
START_TEST(what_was_written)
{
	unsigned int layers;

	device_writes(LOW);
	ck_assert_int_eq(track_look(&machine, false, &why), 0);
	ck_assert_ptr_null(machine.track);
	save(true, &first);
	ck_assert(flags[0] == KVM_MEM_LOG_DIRTY_PAGES && flags[1] == KVM_MEM_LOG_DIRTY_PAGES);
	ck_assert_ptr_null(track_base(&machine, &layers));
	ck_assert(!track_keep(&machine, &second, &second) && track_keep(&machine, &first, &first));
	ck_assert(!track_keep(&machine, &first, &first));
	ck_assert_mem_eq(track_base(&machine, &layers), &first, sizeof(first));
	ck_assert_uint_eq(layers, 1);
	written[0] = 1 << 2;
	written[1] = 1 << 7;
	device_writes(LOW + 3 * PAGE);
	device_writes(HIGH);
	save(false, &second);
	ck_assert_uint_eq(changed(0), 1 << 2 | 1 << 3);
	ck_assert_uint_eq(changed(1), 1 << 7 | 1 << 0);
	/* After that, and before it is kept: of the next. */
	written[0] = 1 << 5;
	device_writes(HIGH + PAGE);
	ck_assert(track_keep(&machine, &second, &second));
	ck_assert_mem_eq(track_base(&machine, &layers), &second, sizeof(second));
	ck_assert_uint_eq(layers, 2);
	save(false, &first);
	ck_assert_uint_eq(changed(0), 1 << 5);
	ck_assert_uint_eq(changed(1), 1 << 1);
}
END_TEST

/* A save that fails, one that is not kept, one of which KVM tells a part: the next has what all of them had. */
START_TEST(what_was_not_kept)
{
	unsigned int layers;

	save(true, &first);
	ck_assert(track_keep(&machine, &first, &first));
	written[0] = 1;
	save(false, NULL);
	written[0] = 2;
	save(false, &second);
	written[0] = 4;
	written[1] = 1;
	device_writes(LOW + 3 * PAGE);
	refused = 1;
	ck_assert_int_eq(track_look(&machine, false, &why), -EIO);
	ck_assert_ptr_nonnull(strstr(why.text, "KVM does not tell"));
	track_saved(&machine, NULL, false);
	refused = -1;
	save(true, NULL);
	ck_assert_mem_eq(track_base(&machine, &layers), &first, sizeof(first));
	ck_assert_uint_eq(changed(0), 1 | 2 | 4 | 8);
	ck_assert_uint_eq(changed(1), 1);
}
END_TEST

/* The client says too late that it is kept: what was written since is in what is saved by then. */
START_TEST(kept_too_late)
{
	save(true, &first);
	ck_assert(track_keep(&machine, &first, &first));
	written[0] = 1;
	save(false, &second);
	written[0] = 2;
	save(false, NULL);
	ck_assert(!track_keep(&machine, &second, &second));
	save(false, &second);
	ck_assert_uint_eq(changed(0), 1 | 2);
	ck_assert(track_keep(&machine, &second, &second));
	ck_assert_uint_eq(changed(0), 0);
}
END_TEST

/* Another client saves it meanwhile, neither tracked nor as an increment. If the last one is kept afterwards, the next has what was written
 * since that; else all. */
START_TEST(saved_by_another_before_it_is_kept)
{
	const uint64_t round = 4;

	save(true, &first);
	ck_assert(track_keep(&machine, &first, &first));
	written[0] = 1;
	save(false, &second);
	written[0] = 2;
	ck_assert_int_eq(track_look_apart(&machine, &why), 0);
	track_add(&machine, 0, &round);
	if (_i == 0)
		ck_assert(track_keep(&machine, &second, &second));
	else if (_i == 1)
		track_saved(&machine, NULL, true);
	save(false, &first);
	ck_assert_uint_eq(changed(0), _i == 0 ? 2 | 4 : 1 | 2 | 4);
	/* None of it is left when that is kept. */
	ck_assert(track_keep(&machine, &first, &first));
	save(false, &second);
	ck_assert_uint_eq(changed(0), 0);
}
END_TEST

/* A clone of three that are based on one another, whose first one is not kept: its increment is the fourth. */
START_TEST(based_on_what_it_was_restored_from)
{
	unsigned int layers;

	machine.restored_file.count = 3;
	save(true, &first);
	save(false, &second);
	ck_assert(track_keep(&machine, &second, &second));
	ck_assert_ptr_nonnull(track_base(&machine, &layers));
	ck_assert_uint_eq(layers, 4);
	save(false, &first);
	ck_assert(track_keep(&machine, &first, &first));
	ck_assert_ptr_nonnull(track_base(&machine, &layers));
	ck_assert_uint_eq(layers, 5);
	/* A whole one is based on nothing. */
	save(true, &second);
	ck_assert(track_keep(&machine, &second, &second));
	ck_assert_ptr_nonnull(track_base(&machine, &layers));
	ck_assert_uint_eq(layers, 1);
}
END_TEST

static void expect_nothing_logged(void)
{
	uint64_t bits = 0;

	ck_assert_ptr_null(machine.track);
	ck_assert_uint_eq(flags[0] | flags[1], 0);
	device_writes(LOW);
	dirty_log_take(machine.ram.dirty, 0, &bits);
	ck_assert_uint_eq(bits, 0);
}

/* The first is not saved, or cannot be tracked. */
START_TEST(nothing_is_left_of_it)
{
	save(true, NULL);
	expect_nothing_logged();
	refused = 1;
	ck_assert_int_eq(track_look(&machine, true, &why), -EIO);
	expect_nothing_logged();
	refused = -1;
	/* It is saved, and its client cannot keep it. */
	save(true, &first);
	track_saved(&machine, NULL, true);
	expect_nothing_logged();
	save(true, &first);
	ck_assert(track_keep(&machine, &first, &first));
	save(true, &second);
	track_saved(&machine, NULL, true);
	ck_assert(machine.track && !track_keep(&machine, &second, &second));
	track_end(&machine);
	expect_nothing_logged();
}
END_TEST

Suite *track_suite(void);
Suite *track_suite(void)
{
	Suite *suite = suite_create("track");
	TCase *tcase = tcase_create("track");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, what_was_written);
	tcase_add_test(tcase, what_was_not_kept);
	tcase_add_test(tcase, kept_too_late);
	tcase_add_loop_test(tcase, saved_by_another_before_it_is_kept, 0, 3);
	tcase_add_test(tcase, based_on_what_it_was_restored_from);
	tcase_add_test(tcase, nothing_is_left_of_it);
	suite_add_tcase(suite, tcase);
	return suite;
}
