// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/memory.h"
#include "vmm/mem/backing.h"
#include "vmm/mem/torn.h"

#define KIB  1024ULL
#define HUGE (2ULL << 20)

static struct ram ram;

/* RAM of four huge pages and a half, which begins with half of one. */
static void setup(void)
{
	struct gpa_range span = {HUGE / 2, 4 * HUGE};
	ck_assert_int_eq(ram_init(&ram, &(struct ram_config)RAM_CONFIG_DEFAULT, &span, 1), 0);
}

static void teardown(void)
{
	ram_release(&ram);
}

/* Returns whether the kernel may make huge pages where @gpa is mapped. */
static bool huge(uint64_t gpa)
{
	uintptr_t wanted = (uintptr_t)(ram.region[0].hva + (gpa - ram.region[0].gpa));
	uintptr_t from, to;
	bool here = false, found = false;
	char line[512];
	FILE *file = fopen("/proc/self/smaps", "re");

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = wanted >= from && wanted < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, " hg") && !strstr(line, " nh");
	}
	fclose(file);
	return found;
}

static void report(uint64_t gpa, uint64_t len)
{
	struct discard_step step[DISCARD_STEPS(1)];
	struct discard_result result;
	size_t steps = ram_discard(&ram, &(struct gpa_range){gpa, len}, 1, step, &result);
	ram_torn(&ram, step, steps);
}

START_TEST(a_place_that_was_torn_is_left_alone_until_it_goes_whole)
{
	if (!ram.torn)
		return; /* this host makes no huge pages */
	report(2 * HUGE, 2 * HUGE);
	for (uint64_t gpa = HUGE; gpa < 4 * HUGE; gpa += HUGE)
		ck_assert(huge(gpa)); /* the control: whole ones are not torn */
	ck_assert_uint_eq(ram_torn_count(&ram), 0);

	/* The ends of what is reported are in two of them, and what lies between them is whole. */
	report(HUGE + 64 * KIB, 2 * HUGE);
	ck_assert(!huge(HUGE) && huge(2 * HUGE) && !huge(3 * HUGE) && huge(4 * HUGE));
	ck_assert_uint_eq(ram_torn_count(&ram), 2);
	report(HUGE + 512 * KIB, 64 * KIB);
	ck_assert_uint_eq(ram_torn_count(&ram), 2);

	report(HUGE, HUGE);
	ck_assert(huge(HUGE) && !huge(3 * HUGE));
	report(3 * HUGE, HUGE);
	ck_assert(huge(3 * HUGE));
	ck_assert_uint_eq(ram_torn_count(&ram), 0);
}
END_TEST

/* No huge page fits into the ends of RAM: the rest of such a place is not ours. */
START_TEST(no_more_than_ram_is_advised)
{
	if (!ram.torn)
		return;
	report(HUGE / 2, 64 * KIB);
	report(4 * HUGE, 64 * KIB);
	ck_assert_uint_eq(ram_torn_count(&ram), 2);
	ck_assert(!huge(HUGE / 2) && huge(HUGE) && !huge(4 * HUGE));
}
END_TEST

START_TEST(what_was_held_back_is_not_torn)
{
	if (!ram.torn)
		return;
	ram_discard_inhibit(&ram);
	report(HUGE, 64 * KIB);
	ram_discard_allow(&ram);
	ck_assert_uint_eq(ram_torn_count(&ram), 0);
	ck_assert(huge(HUGE));
}
END_TEST

Suite *torn_suite(void);
Suite *torn_suite(void)
{
	Suite *suite = suite_create("torn");
	TCase *tcase = tcase_create("torn");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_place_that_was_torn_is_left_alone_until_it_goes_whole);
	tcase_add_test(tcase, no_more_than_ram_is_advised);
	tcase_add_test(tcase, what_was_held_back_is_not_torn);
	suite_add_tcase(suite, tcase);
	return suite;
}
