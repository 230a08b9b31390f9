// SPDX-License-Identifier: Apache-2.0
/* Whether one more guest would fit. */
#include <check.h>

#include "vmm/keeper/admit.h"
#include "vmm/lib/clock.h"

#define MIB (UINT64_C(1) << 20)

/* Of 8 GiB the low mark is 1. */
static const struct {
	uint64_t available, reclaimable, size; /* MiB */
	enum keeper_fit fit;
} cases[] = {
	{3072, 0, 1, KEEPER_FITS},
	{3072, 0, 2048, KEEPER_FITS},
	{3072, 0, 2049, KEEPER_FITS_NOT},
	{3072, 1, 2049, KEEPER_FITS_RECLAIMED},
	{3072, 1000, 3049, KEEPER_FITS_NOT},
	{500, 0, 1, KEEPER_FITS_NOT},
	{500, 1, 1, KEEPER_FITS_RECLAIMED},
	/* Guests cannot hold more than there is. */
	{500, UINT64_MAX / MIB, 8192, KEEPER_FITS_RECLAIMED},
	{500, UINT64_MAX / MIB, 8193, KEEPER_FITS_NOT},
	{500, UINT64_MAX / MIB, UINT64_MAX / MIB, KEEPER_FITS_NOT},
};

START_TEST(by_what_is_there)
{
	const struct keeper_host host = {8192 * MIB, cases[_i].available * MIB, false};
	ck_assert_int_eq(keeper_admit(&host, cases[_i].reclaimable * MIB, cases[_i].size * MIB),
			 cases[_i].fit);
}
END_TEST

START_TEST(what_a_guest_could_give)
{
	static const struct keeper_figures usual = {
		.running = true,
		.reclaims = true,
		.told = true,
		.size = 1024 * MIB,
		.resident = 900 * MIB,
		.free = 256 * MIB,
		.caches = 200 * MIB,
	};
	struct keeper_guest guest = {.now = usual};
	ck_assert_uint_eq(keeper_reclaimable(&guest), 0);
	guest.looked = true;
	/* 132 are held beyond the use. */
	ck_assert_uint_eq(keeper_reclaimable(&guest), 332 * MIB);
	guest.now.free = guest.now.caches = UINT64_MAX;
	ck_assert_uint_le(keeper_reclaimable(&guest), 900 * MIB);
	/* A clone: of what it does not use no more comes back than is its own. */
	guest.now = usual;
	guest.now.resident = 100 * MIB;
	guest.now.shared = 800 * MIB;
	ck_assert_uint_eq(keeper_held(&guest.now), 100 * MIB);
	ck_assert_uint_eq(keeper_reclaimable(&guest), 100 * MIB);
	guest.now.resident = 300 * MIB;
	guest.now.shared = 600 * MIB;
	ck_assert_uint_eq(keeper_held(&guest.now), 132 * MIB);
	/* The control: it has nothing beside its own. */
	guest.now.shared = 0;
	ck_assert_uint_eq(keeper_held(&guest.now), 0);
	guest.now = usual;
	guest.now.told = false;
	ck_assert_uint_eq(keeper_reclaimable(&guest), 0);
	guest.now = usual;
	guest.now.reclaims = false;
	ck_assert_uint_eq(keeper_reclaimable(&guest), 0);
}
END_TEST

Suite *keeper_admit_suite(void);
Suite *keeper_admit_suite(void)
{
	Suite *suite = suite_create("keeper_admit");
	TCase *tcase = tcase_create("admission");
	tcase_add_loop_test(tcase, by_what_is_there, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(tcase, what_a_guest_could_give);
	suite_add_tcase(suite, tcase);
	return suite;
}
