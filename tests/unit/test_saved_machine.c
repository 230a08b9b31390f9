// SPDX-License-Identifier: Apache-2.0
/* What a snapshot tells of its machine: whatever bytes are there, it is read or refused. */
#include <check.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "vmm/lib/version.h"
#include "vmm/snapshot/saved_machine.h"

#define NAME_SIZE 16
#define MIB	  (1ULL << 20)

static uint8_t data[2048];

static void put_name(struct record *record, const char *name)
{
	char field[NAME_SIZE] = "";

	snprintf(field, sizeof(field), "%s", name);
	record_bytes(record, field, sizeof(field));
}

/* A machine with two regions of RAM and these devices. Returns its length. */
static size_t make(const char *version, const uint32_t *ids, uint32_t count)
{
	struct record record = {.data = data, .size = sizeof(data)};

	put_name(&record, "x86_64");
	put_name(&record, version);
	record_u32(&record, 3);
	record_u32(&record, 2);
	for (uint64_t i = 0; i < 2; i++) {
		record_u64(&record, i << 32);
		record_u64(&record, 256 * MIB);
	}
	record_u32(&record, count);
	for (uint32_t i = 0; i < count; i++) {
		record_u32(&record, ids[i]);
		record_u64(&record, 0xd0000000);
		record_u32(&record, 5);
	}
	ck_assert(!record.full);
	return record.len;
}

static int read_back(size_t len, struct saved_machine *saved, struct why *why)
{
	struct record_in in = {data, len, false};

	*why = (struct why){""};
	return saved_machine_read(&in, "x86_64", saved, why);
}

static const uint32_t ids[] = {VIRTIO_ID_BALLOON, VIRTIO_ID_BLOCK, VIRTIO_ID_BLOCK,   VIRTIO_ID_RNG,
			       VIRTIO_ID_NET,	  VIRTIO_ID_VSOCK, VIRTIO_ID_CONSOLE, 9999};
#define IDS (sizeof(ids) / sizeof(ids[0]))

START_TEST(it_is_told)
{
	struct saved_machine saved;
	struct why why;

	ck_assert_int_eq(read_back(make(EBB_VERSION, ids, IDS), &saved, &why), 0);
	ck_assert_uint_eq(saved.cpus, 3);
	ck_assert_uint_eq(saved.memory, 512 * MIB);
	ck_assert_uint_eq(saved.regions, 2);
	ck_assert_uint_eq(saved.region[0].gpa, 0);
	ck_assert_uint_eq(saved.region[0].len, 256 * MIB);
	ck_assert_uint_eq(saved.region[1].gpa, 1ULL << 32);
	ck_assert_uint_eq(saved.region[1].len, 256 * MIB);
	ck_assert_uint_eq(saved.balloons, 1);
	ck_assert_uint_eq(saved.disks, 2);
	ck_assert_uint_eq(saved.rngs, 1);
	ck_assert_uint_eq(saved.networks, 1);
	ck_assert_uint_eq(saved.vsocks, 1);
	ck_assert_uint_eq(saved.consoles, 1);
}
END_TEST

START_TEST(another_ebbs_is_refused)
{
	struct saved_machine saved;
	struct why why;

	ck_assert_int_eq(read_back(make("0.0.0", ids, IDS), &saved, &why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why.text, "it was saved by ebb 0.0.0"));
}
END_TEST

START_TEST(any_length_is_refused)
{
	size_t whole = make(EBB_VERSION, ids, IDS);
	struct saved_machine saved;
	struct why why;

	for (size_t len = 0; len <= sizeof(data); len++)
		ck_assert_int_eq(read_back(len, &saved, &why), len == whole ? 0 : -EINVAL);
}
END_TEST

/* Counts of regions and devices that are far from true. */
START_TEST(any_byte_can_be_wrong)
{
	size_t whole = make(EBB_VERSION, ids, IDS);
	struct saved_machine saved;
	struct why why;

	for (size_t at = 0; at < whole; at++) {
		uint8_t good = data[at];
		data[at] ^= 0xff;
		int error = read_back(whole, &saved, &why);
		ck_assert(error == 0 || (error == -EINVAL && why.text[0]));
		data[at] = good;
	}
}
END_TEST

START_TEST(too_many_devices_are_refused)
{
	static const uint32_t many[SAVED_DEVICES_MAX + 1];
	struct saved_machine saved;
	struct why why;

	ck_assert_int_eq(read_back(make(EBB_VERSION, many, SAVED_DEVICES_MAX), &saved, &why), 0);
	ck_assert_int_eq(read_back(make(EBB_VERSION, many, SAVED_DEVICES_MAX + 1), &saved, &why),
			 -EINVAL);
	ck_assert_ptr_nonnull(strstr(why.text, "malformed"));
}
END_TEST

static const struct saved_machine own = {
	.cpus = 2,
	.regions = 2,
	.region = {{0, 256 * MIB}, {4096 * MIB, 64 * MIB}},
	.devices = 2,
	.device = {{VIRTIO_ID_BALLOON, 0xd0000000, 5}, {VIRTIO_ID_BLOCK, 0xd0000200, 6}},
};

/* What another machine differs in, and what its user is told. */
#define FIELD(field) offsetof(struct saved_machine, field)
static const struct {
	size_t field;
	const char *word;
} others[] = {
	{FIELD(cpus), "-c 2"},
	{FIELD(regions), "-m 320M"},
	{FIELD(region[1].gpa), "-m 320M"},
	{FIELD(region[0].len), "-m 320M"},
	{FIELD(devices), "other devices"},
	{FIELD(device[1].id), "other devices"},
	{FIELD(device[1].base), "other devices"},
	{FIELD(device[0].gsi), "other devices"},
};
#define OTHERS (sizeof(others) / sizeof(others[0]))

START_TEST(another_machine_is_told)
{
	struct record record = {.data = data, .size = sizeof(data)};
	struct saved_machine saved, other = own;
	struct why why;

	saved_machine_write(&own, "x86_64", &record);
	ck_assert(!record.full);
	ck_assert_int_eq(read_back(record.len, &saved, &why), 0);
	ck_assert_int_eq(saved_machine_compare(&other, &saved, &why), 0);
	*((uint8_t *)&other + others[_i].field) ^= 1;
	ck_assert_int_eq(saved_machine_compare(&other, &saved, &why), -EINVAL);
	ck_assert_msg(strstr(why.text, others[_i].word), "%s", why.text);
}
END_TEST

START_TEST(another_architectures_is_refused)
{
	struct record record = {.data = data, .size = sizeof(data)};
	struct saved_machine saved;
	struct why why;

	saved_machine_write(&own, "aarch64", &record);
	ck_assert_int_eq(read_back(record.len, &saved, &why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why.text, "another architecture (aarch64)"));
}
END_TEST

Suite *saved_machine_suite(void);
Suite *saved_machine_suite(void)
{
	Suite *suite = suite_create("saved machine");
	TCase *all = tcase_create("all");
	tcase_add_test(all, it_is_told);
	tcase_add_test(all, another_ebbs_is_refused);
	tcase_add_test(all, any_length_is_refused);
	tcase_add_test(all, any_byte_can_be_wrong);
	tcase_add_test(all, too_many_devices_are_refused);
	tcase_add_loop_test(all, another_machine_is_told, 0, OTHERS);
	tcase_add_test(all, another_architectures_is_refused);
	suite_add_tcase(suite, all);
	return suite;
}
